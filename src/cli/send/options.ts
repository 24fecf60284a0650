import { rate } from '../../config/values.ts';
import type { SenderProfile } from '../../sender-profile.ts';
import { findSample } from '../sample-events.ts';
import { FAST, makeMessageId, type OutgoingEvent, type SendOptions } from './event.ts';
import { misuse, readCa, readFile, readIdentity } from './identity.ts';
import { makeAgent } from './post.ts';
import { readAddress, readDeadline, readHeaders, readProfile, type SenderOptions } from './sender.ts';
import { readSigning } from './signing.ts';

/** The options of `postern send`, as they were typed. */
export interface TypedOptions extends SenderOptions {
  readonly event?: string;
  readonly body?: string;
  readonly id?: string;
  readonly method: string;
  readonly count: string;
  readonly rate?: string;
  readonly fast?: boolean;
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
      deadlineMs: readDeadline(typed, profile),
      fasterBy: typed.fast ? FAST : 1,
    },
  };
}

function readMethod(method: string): string {
  return /^[A-Za-z]{1,20}$/.test(method)
    ? method.toUpperCase()
    : misuse(`--method ${method}: give POST or PUT`);
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
