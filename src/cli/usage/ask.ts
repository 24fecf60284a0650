import { once } from 'node:events';
import type { IncomingMessage, RequestOptions } from 'node:http';
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { text } from 'node:stream/consumers';
import { addressSet, parseAddress } from '../../addresses.ts';
import type { AdminSettings, Settings } from '../../settings.ts';
import { answerSchema, configurationDigest, type UsageAnswer } from './answer.ts';

/** What a gateway that runs this configuration has counted. */
export interface Asked {
  /** `undefined`: it runs another configuration, or an older version of this one. */
  readonly usage: UsageAnswer | undefined;
  /** Who was asked, and what that is worth. */
  readonly note: string;
}

/** Where nobody listens, one's own machine says so at once: only a gateway that is busy takes longer. */
const WAIT_MS = 3000;

/**
 * Asks the admin listener of a configuration what its routes and secrets have met. The token is sent to this machine
 * only: elsewhere nobody knows who would listen at that address.
 * @returns `undefined` where nobody answers as a gateway does, within three seconds
 */
export async function askUsage(settings: Settings): Promise<Asked | undefined> {
  const { admin } = settings;
  const host = admin === false ? undefined : ownAddress(admin);
  if (admin === false || host === undefined || admin.port === 0) return undefined;
  const at = `${isIPv6(host) ? `[${host}]` : host}:${admin.port}`;
  const headers = admin.token === undefined ? {} : { authorization: `Bearer ${admin.token}` };
  try {
    const answer = answerSchema.safeParse(JSON.parse(await get({ host, port: admin.port, headers })));
    if (!answer.success) return undefined;
    const { configuration } = answer.data;
    if (configuration.sha256 === configurationDigest(settings))
      return { usage: answer.data, note: `asked the running gateway at ${at}${oneOfMany(settings)}` };
    const other =
      configuration.file === settings.file
        ? 'another version of this file, or has other variables'
        : configuration.file;
    return { usage: undefined, note: `the gateway at ${at} runs ${other}, so its counts were left aside` };
  } catch {
    return undefined;
  }
}

function oneOfMany({ listen, state }: Settings): string {
  const isShared = listen.reusePort || state.driver === 'redis';
  return isShared
    ? '; it counts for itself alone, and others that share its port or its state are not asked'
    : '';
}

/** The body of a 200; rejects where there is none in time. By no proxy, whatever the environment says. */
async function get(options: RequestOptions): Promise<string> {
  // Loading it costs a quarter of all that `check` takes, and mostly there is nobody to be asked.
  const { Agent, request } = await import('node:http');
  const signal = AbortSignal.timeout(WAIT_MS);
  const asking = request({ ...options, path: '/usage', agent: new Agent(), signal }).end();
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200) {
    asking.destroy();
    throw new Error(`status ${response.statusCode}`);
  }
  return text(response);
}

/** The address of the admin listener, if it is one of this machine. */
function ownAddress({ address }: AdminSettings): string | undefined {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '::1';
  const value = parseAddress(address);
  if (value === undefined) return address === 'localhost' ? address : undefined;
  const interfaces = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const isOwn = addressSet(['127.0.0.0/8', '::1', ...interfaces.map((own) => own.address)]);
  return isOwn(value) ? address : undefined;
}
