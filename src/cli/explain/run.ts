import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path';
import { loadConfig } from '../../config/load.ts';
import { loadSender, senderNames } from '../../config/senders.ts';
import { ownerOf } from '../../lane.ts';
import type { SenderProfile } from '../../sender-profile.ts';
import type { RouteSettings, Settings, SignatureSettings } from '../../settings.ts';
import type { Head, Message, RequestHead } from '../../types.ts';
import { readTime } from '../events/time.ts';
import { CliError, configError } from '../exit.ts';
import { type Capture, type GivenCertificate, readCapture, readCertificateFile } from './capture.ts';
import { knownPeer } from './peer.ts';
import { signedAtMs } from './presented.ts';
import type { Explanation, TimeSource } from './print.ts';
import { explainSignature } from './signature.ts';
import { type Judged, walk } from './steps.ts';
import { readStored } from './stored.ts';

/** The command's options as they were typed. */
export interface TypedExplain {
  readonly config: string;
  readonly request?: string;
  readonly id?: string;
  readonly route?: string;
  readonly address?: string;
  /** `false`: there was none. */
  readonly certificate?: string | false;
  readonly time?: string;
  readonly json?: true;
}

/**
 * Judges a captured request.
 * @throws CliError, exit code 78 for the configuration, 2 for what was given
 */
export async function explain(typed: TypedExplain): Promise<Explanation> {
  const { settings } = await configError(() => loadConfig(typed.config));
  if (typed.route !== undefined && !settings.routes.some(({ name }) => name === typed.route))
    throw new CliError(
      `there is no route ${JSON.stringify(typed.route)}; postern routes shows which there are`,
      2,
    );
  const { given, routeName } = await givenOf(typed, settings);
  const capture: Capture = {
    ...given,
    address: typed.address ?? given.address,
    certificate: await certificateOf(typed, given),
  };
  const { head } = capture;
  const timeMs = timeOf(typed.time);
  if (!('request' in head)) {
    const time = clock(timeMs, capture, undefined);
    const step = { check: 'request', answer: 'refused', reason: head.reason, detail: head.detail } as const;
    return {
      route: undefined,
      client: undefined,
      ...time,
      steps: [step],
      signature: undefined,
      notes: capture.notes,
    };
  }
  // Two passes: without a time of its own a message is judged at its signing, and where that stands the route says.
  const first = judgedOf(
    head.request,
    capture,
    clock(timeMs, capture, undefined),
    settings,
    routeName,
    head.refusal,
  );
  const { route } = await walk(first);
  const time = clock(timeMs, capture, route?.signature && signedAtMs(route.signature, first.message));
  const judged = judgedOf(head.request, capture, time, settings, routeName, head.refusal);
  const { steps } = await walk(judged);
  return {
    route: route?.name,
    client: route?.client?.id,
    ...time,
    steps,
    signature: isSigned(route)
      ? explainSignature({
          message: judged.message,
          knowsTime: time.timeFrom !== 'signature' && time.timeFrom !== 'now',
          route,
          routes: settings.routes,
          senders: knownSenders(dirname(typed.config)),
        })
      : undefined,
    notes: [...capture.notes, ...judged.known.notes],
  };
}

/** What is judged, and by which route. */
async function givenOf(
  { config, request, id, route }: TypedExplain,
  { routes }: Settings,
): Promise<{ given: Capture; routeName: string | undefined }> {
  if ((request === undefined) === (id === undefined))
    throw new CliError('give one of --request FILE and --id ID (--help shows how)', 2);
  if (request !== undefined) return { given: await readCapture(request), routeName: route };
  const stored = await readStored(config, id as string, route);
  // A route that was removed since: the gateway would find another.
  const { route: owner } = ownerOf(stored.route);
  const routeName = routes.find(({ name }) => name === owner)?.name;
  return { given: stored.capture, routeName };
}

function isSigned(
  route: RouteSettings | undefined,
): route is RouteSettings & { readonly signature: SignatureSettings } {
  return route?.signature !== undefined;
}

interface Clock {
  readonly epochMs: number;
  readonly timeFrom: TimeSource;
}

function clock(typedMs: number | undefined, { timeMs }: Capture, signedMs: number | undefined): Clock {
  if (typedMs !== undefined) return { epochMs: typedMs, timeFrom: 'option' };
  if (timeMs !== undefined) return { epochMs: timeMs, timeFrom: 'capture' };
  if (signedMs !== undefined) return { epochMs: signedMs, timeFrom: 'signature' };
  return { epochMs: Date.now(), timeFrom: 'now' };
}

function judgedOf(
  request: RequestHead,
  { address, certificate, body, isStored = false }: Capture,
  { epochMs }: Clock,
  settings: Settings,
  routeName: string | undefined,
  refusal: Judged['refusal'],
): Judged {
  const known = knownPeer({ address, certificate, host: request.host, epochMs }, settings.tls);
  const head: Head = { ...request, id: randomUUID(), peer: known.peer, startedMs: 0, epochMs };
  const message: Message = { ...head, body };
  return { message, refusal, known, settings, routeName, isStored };
}

async function certificateOf(
  { certificate }: TypedExplain,
  given: Capture,
): Promise<GivenCertificate | undefined> {
  if (certificate === false) return 'none';
  return certificate === undefined ? given.certificate : { pem: await readCertificateFile(certificate) };
}

function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = readTime(text, Date.now());
  if (ms === undefined)
    throw new CliError('--time: write a time as 2026-01-31T12:00:00Z, or how long ago, as 2h', 2);
  return ms;
}

/** A profile of one's own that has mistakes, and that no route uses, is no reason to explain nothing. */
function knownSenders(configFolder: string): SenderProfile[] {
  return senderNames(configFolder).flatMap((name) => {
    try {
      return [loadSender(name, configFolder)];
    } catch {
      return [];
    }
  });
}
