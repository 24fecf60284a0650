import { validateHeaderName, validateHeaderValue } from 'node:http';
import { loadSender, senderNames } from '../../config/senders.ts';
import { duration, rate } from '../../config/values.ts';
import type { SenderProfile } from '../../settings.ts';
import { configError } from '../exit.ts';
import { findSample } from '../sample-events.ts';
import { declaredSigner } from './declared.ts';
import {
  FAST,
  makeMessageId,
  makeSigner,
  type OutgoingEvent,
  type SendOptions,
  type Signer,
} from './event.ts';
import { attempt, type IdentityOptions, misuse, readCa, readFile, readIdentity } from './identity.ts';
import { makeAgent } from './post.ts';

/** The options of `postern send`, as they were typed. */
export interface TypedOptions extends IdentityOptions {
  readonly sender: string;
  readonly configFolder: string;
  readonly ca?: string;
  readonly header?: readonly string[];
  readonly secret?: string;
  /** False with `--no-signature`. */
  readonly signature: boolean;
  readonly event?: string;
  readonly body?: string;
  readonly id?: string;
  readonly method: string;
  readonly count: string;
  readonly rate?: string;
  readonly fast?: boolean;
  readonly timeout?: string;
  readonly json?: boolean;
}

/** Everything needed to send, read and checked. */
export interface SendPlan {
  readonly options: SendOptions;
  readonly count: number;
  /** Milliseconds between the starts of two events; 0: as fast as they go. */
  readonly everyMs: number;
  /** A new event: its own message id, and with a sample its own body. */
  readonly makeEvent: () => OutgoingEvent;
}

const SECRET_VARIABLE = 'POSTERN_SEND_SECRET';
/** Where a profile says nothing; what most senders have. */
const DEADLINE_MS = 15_000;

/** @throws CliError with what is wrong and what would be right: exit code 2, or 78 for a sender profile with mistakes */
export async function planSend(address: string, typed: TypedOptions): Promise<SendPlan> {
  const url = readAddress(address);
  const profile = await readProfile(typed);
  const agent = makeAgent(
    typed.ca === undefined ? undefined : readCa(typed.ca),
    readIdentity(typed, profile),
  );
  const signing = readSigning(typed, profile);
  return {
    count: readCount(typed),
    everyMs: typed.rate === undefined ? 0 : readPace(typed.rate),
    makeEvent: readEvent(typed, profile, signing.signer !== undefined),
    options: {
      url,
      method: readMethod(typed.method),
      profile,
      agent,
      headers: readHeaders(typed.header),
      ...signing,
      deadlineMs:
        typed.timeout === undefined ? (profile.deadlineMs ?? DEADLINE_MS) : readDuration(typed.timeout),
      fasterBy: typed.fast ? FAST : 1,
    },
  };
}

function readProfile({ sender, configFolder }: TypedOptions): Promise<SenderProfile> {
  const names = senderNames(configFolder);
  if (!names.includes(sender))
    misuse(`--sender ${sender}: there is no such profile; there are ${names.join(', ')}`);
  return configError(() => loadSender(sender, configFolder));
}

function readMethod(method: string): string {
  return /^[A-Za-z]{1,20}$/.test(method)
    ? method.toUpperCase()
    : misuse(`--method ${method}: give POST or PUT`);
}

function readAddress(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol !== 'https:' || url.username || url.password)
    return misuse(`${address} is not a URL to send to; give one such as https://localhost:8443/codat/events`);
  return url;
}

function readCount({ count, id }: TypedOptions): number {
  const number = Number(count);
  if (!/^\d{1,7}$/.test(count) || number < 1)
    misuse(`--count ${count}: give a whole number from 1 to 9999999`);
  if (id !== undefined && number > 1) misuse('--id names one event; it does not go together with --count');
  return number;
}

function readPace(text: string): number {
  const result = rate().safeParse(text);
  return result.success
    ? result.data.perMs / result.data.count
    : misuse(`--rate ${text}: give a rate such as 5/s`);
}

function readDuration(text: string): number {
  const result = duration().safeParse(text);
  return result.success ? result.data : misuse(`--timeout ${text}: give a duration such as 15s`);
}

function readSigning(
  typed: TypedOptions,
  profile: SenderProfile,
): Pick<SendOptions, 'signer' | 'signFields'> {
  const { signature: rule } = profile;
  if (!rule) {
    if (typed.secret !== undefined) misuse(`${profile.name} does not sign: leave --secret out`);
    return { signer: undefined };
  }
  if (!typed.signature) return { signer: undefined };
  const secret = readSecret(typed, profile);
  if (rule.scheme === 'standard-webhooks') return { signer: readSigner(secret) };
  if (rule.scheme !== 'token' && rule.timestamp && 'body' in rule.timestamp && typed.body === undefined)
    misuse(
      `${profile.name} puts the time of signing into the message, and no sample has it: give a message of its kind by --body`,
    );
  return { signer: undefined, signFields: declaredSigner(profile, rule, secret) };
}

function readSecret(typed: TypedOptions, profile: SenderProfile): string {
  const secret = typed.secret ?? process.env[SECRET_VARIABLE];
  if (!secret)
    return misuse(
      `${profile.name} signs: set ${SECRET_VARIABLE} (or give --secret) to the endpoint's signing secret, ` +
        'or --no-signature to go without',
    );
  return secret;
}

function readSigner(secret: string): Signer {
  const bytes = secret.replace(/^whsec_/, '');
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(bytes) || bytes === '')
    misuse('the signing secret is not base64, with or without whsec_ before it');
  return makeSigner(secret);
}

function readHeaders(typed: readonly string[] = []): Record<string, string | readonly string[]> {
  const headers: Record<string, readonly string[]> = {};
  for (const text of typed) {
    const [, name = '', value = ''] = /^([^:]+):\s*(.*?)\s*$/.exec(text) ?? [];
    const field = name.toLowerCase();
    attempt(
      () => {
        validateHeaderName(field);
        validateHeaderValue(field, value);
      },
      `--header '${name || text}': give 'Name: value'`,
    );
    if (['content-length', 'transfer-encoding', 'connection'].includes(field))
      misuse(`--header '${name}' belongs to the connection and cannot be set`);
    headers[field] = [...(headers[field] ?? []), value];
  }
  return headers;
}

function readEvent(typed: TypedOptions, profile: SenderProfile, signed: boolean): () => OutgoingEvent {
  const { id = undefined } = typed;
  // What a message id may be, DESIGN: visible ASCII without a full stop, which separates the signed parts.
  if (id !== undefined && !/^[!-\-/-~]{1,256}$/.test(id))
    misuse(`--id ${id}: give 1 to 256 visible ASCII characters without a full stop`);
  if (typed.body !== undefined && typed.event !== undefined) misuse('--event and --body do not go together');
  if (typed.body !== undefined) {
    const body = readFile(typed.body);
    // The svix package signs text: other bytes would be signed as something else than what is sent.
    if (signed && !Buffer.from(body.toString('utf8')).equals(body))
      misuse(`${typed.body} is not UTF-8 text, so it cannot be signed`);
    const type = eventType(body, profile);
    return () => ({ id: id ?? makeMessageId(), type, body });
  }
  const name = typed.event ?? (profile.signature ? 'invoices.write.successful' : 'rule.alert');
  const sample = findSample(name) ?? misuse(`--event ${name}: there is no such sample; see --list-events`);
  return () => {
    const body = Buffer.from(JSON.stringify(sample.make()));
    return { id: id ?? makeMessageId(), type: eventType(body, profile), body };
  };
}

/** What stands in the message where this sender puts the event's type; `-` where nothing does. */
function eventType(body: Buffer, profile: SenderProfile): string {
  let message: unknown;
  try {
    message = JSON.parse(body.toString('utf8'));
  } catch {
    return '-';
  }
  for (const path of profile.event.type) {
    const found = path.reduce<unknown>(
      (at, key) => (typeof at === 'object' && at ? Reflect.get(at, key) : undefined),
      message,
    );
    if (typeof found === 'string') return found;
  }
  return '-';
}
