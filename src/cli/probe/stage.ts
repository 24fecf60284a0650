import { randomBytes, randomUUID } from 'node:crypto';
import type { SenderProfile } from '../../sender-profile.ts';
import type { HeaderFamily } from '../../signature-settings.ts';
import { userAgent } from '../send/agent.ts';
import type { Fields } from '../send/fields.ts';
import type { Identity } from '../send/post.ts';
import type { Issuer } from './certificate.ts';
import type { Field, Message } from './message.ts';
import type { Key } from './sign.ts';
import type { Destination } from './wire.ts';

/** What every probe begins with: where to, as whom, and by what it proves that. */
export interface Stage {
  readonly url: URL;
  readonly destination: Destination;
  readonly profile: SenderProfile;
  readonly identity: Identity | undefined;
  /** The authority that the receiver trusts, where it was given with its key. */
  readonly issuer: Issuer | undefined;
  /** The current secret first; none: nothing is signed. */
  readonly keys: readonly Key[];
  readonly custom: Fields;
}

/** One event: its id, when it is signed, and its bytes. */
export interface ProbeEvent {
  readonly id: string;
  /** Seconds, as they stand in the header. */
  readonly timestamp: string;
  readonly body: Buffer;
}

/** The type that every event of a probe has, so that the service behind the receiver can tell them. */
export const EVENT_TYPE = 'postern.probe';
const ID_PREFIX = 'msg_postern_probe_';

/** A new event, now, that names itself a probe in its type, its id and its text. */
export function makeEvent({ profile }: Stage, of: string): ProbeEvent {
  const message: Record<string, unknown> = { id: randomUUID(), generatedDate: new Date().toISOString() };
  const note = 'A conformance probe by postern probe. Nothing happened; ignore it.';
  message.payload = { probe: of, note };
  for (const path of profile.event.type.length > 0 ? profile.event.type : [['type']]) put(message, path);
  return { id: makeId(), timestamp: secondsFromNow(0), body: Buffer.from(JSON.stringify(message)) };
}

export function makeId(): string {
  return ID_PREFIX + randomBytes(12).toString('hex');
}

/** The wall clock so many seconds from now, as a signature's timestamp. */
export function secondsFromNow(seconds: number): string {
  return String(Math.floor(Date.now() / 1000) + seconds);
}

/** The three fields of a signed event; each part may be given otherwise. Without secrets there are none. */
export function signatureFields(stage: Stage, event: ProbeEvent, signature?: string): Field[] {
  const [key] = stage.keys;
  if (key === undefined) return [];
  const family = familyOf(stage);
  return [
    [`${family}-id`, event.id],
    [`${family}-timestamp`, event.timestamp],
    [`${family}-signature`, signature ?? key.sign(event.id, event.timestamp, event.body)],
  ];
}

/** A request as the sender makes it, of an event that it may or may not have signed. */
export function makeMessage(stage: Stage, body: Buffer, signed: readonly Field[]): Message {
  const { url, custom } = stage;
  const own = Object.entries(custom).flatMap(([name, value]) =>
    [value].flat().map((one): Field => [name, one as string]),
  );
  const isOwn = new Set(own.map(([name]) => name.toLowerCase()));
  const fields: Field[] = [
    ['Host', url.host],
    ['Accept', '*/*'],
    ['content-type', 'application/json'],
    ...signed,
    ['user-agent', userAgent('probe')],
  ];
  return {
    method: 'POST',
    target: url.pathname + url.search,
    version: '1.1',
    fields: [...fields.filter(([name]) => !isOwn.has(name.toLowerCase())), ...own],
    body,
    framing: 'length',
    pieces: 1,
    pauseMs: 0,
  };
}

/** The prefix of the signature's fields. */
export function familyOf({ profile }: Stage): HeaderFamily {
  return profile.signature?.scheme === 'standard-webhooks' ? profile.signature.family : 'webhook';
}

/** Names of custom fields, in lower case, by which the sender proves who it is. */
export function credentialsOf({ custom }: Stage): string[] {
  return Object.keys(custom)
    .map((name) => name.toLowerCase())
    .filter((name) => name === 'authorization' || /(?:^|-)(?:api-?key|key|token|secret|auth)$/.test(name));
}

function put(message: Record<string, unknown>, path: readonly string[]): void {
  let at = message;
  for (const key of path.slice(0, -1)) {
    const inner = typeof at[key] === 'object' && at[key] ? (at[key] as Record<string, unknown>) : {};
    at[key] = inner;
    at = inner;
  }
  at[path.at(-1) ?? 'type'] = EVENT_TYPE;
}
