import { hash } from 'node:crypto';
import { eventMaker } from './accept.ts';
import { clientChecks } from './check/client.ts';
import { eventTypeReader } from './event-type.ts';
import type { Queue } from './events.ts';
import { evidenceMaker } from './evidence.ts';
import { fieldValue } from './fields.ts';
import type { UpstreamFields } from './headers.ts';
import type { Entry } from './record/entry.ts';
import type { RouteSettings } from './settings.ts';
import { claimedIdReader } from './signature/claimed-id.ts';
import { headerNames } from './signature/header-names.ts';
import type { Head, Message, Refusal } from './types.ts';

/**
 * Where a message goes that its route's checks refuse. Resolves to `kept` once the disk has it, else to what its sender is
 * told: its own refusal, since a quarantine that is full or out of reach is no reason to have it sent again. Never rejects.
 * @param withinMs how long the sender waits
 */
export type Quarantine = (
  message: Message,
  refusal: Refusal,
  entry: Entry,
  withinMs: number,
) => Promise<'kept' | Refusal>;

/** What a quarantine is made with. */
export interface QuarantineParts {
  readonly fields: UpstreamFields;
  readonly clientOf: (head: Head) => string;
  readonly queue: Pick<Queue, 'quarantine'>;
}

/** Without a sender's deadline; a disk that takes longer is as good as none. */
const LONGEST_WAIT_MS = 30_000;

/**
 * Compiles a route's quarantine: for messages that a trusted certificate brought, and whose signature is as it should be
 * but for the secret. `undefined`: the route has none.
 */
export function quarantine(
  route: RouteSettings,
  { fields, clientOf, queue }: QuarantineParts,
): Quarantine | undefined {
  const { quarantine: bounds, signature } = route;
  if (bounds === undefined || signature === undefined) return undefined;
  const make = eventMaker(route, fields);
  const evidenceOf = evidenceMaker(route);
  const claimedIdOf = claimedIdReader(signature);
  const eventTypeOf = eventTypeReader(route.sender);
  const names = headerNames(signature);
  const checksOfClient = clientChecks(route);

  return async (message, refusal, entry, withinMs) => {
    if (refusal.reason !== 'signature.mismatch') return refusal;
    const { certificate } = message.peer;
    // A check that only reports has let in anybody.
    const would = entry.wouldRefuse?.find((reason) => !reason.startsWith('rate.'));
    if (certificate === undefined || would?.startsWith('certificate.'))
      return notKept(refusal, 'its certificate is not one that the route lets in');
    if (would !== undefined) return notKept(refusal, `${would} is only reported`);
    // Where nothing but the signature proves who sends, that is asked after it; a release asks for the signature alone.
    const stranger = await refusedClient(message);
    if (stranger !== undefined) return notKept(refusal, stranger.reason);
    const known = { messageId: claimedIdOf(message), eventType: eventTypeOf(message.body) };
    const client = clientOf(message);
    const event = {
      ...make(message, client, { ...entry, ...known }),
      // Known once it is released: nothing waits for what may never be delivered.
      orderKey: undefined,
      evidence: evidenceOf(message, certificate),
    };
    const keeping = queue
      .quarantine(event, { ...bounds, print: printOf(message, client) })
      .catch((error: Error) => error);
    const found = await within(keeping, withinMs);
    if (found instanceof Error) return notKept(refusal, found.message);
    if (found === 'full') return notKept(refusal, `${bounds.limit} events lie there already`);
    entry.messageId = known.messageId;
    entry.eventType = known.eventType;
    entry.outcome = 'quarantined';
    entry.reason = refusal.reason;
    entry.detail = found === 'copy' ? `${refusal.detail}; a copy lies there already` : refusal.detail;
    return 'kept';
  };

  async function refusedClient(message: Message): Promise<Refusal | undefined> {
    for (const { examine } of checksOfClient) {
      const verdict = await examine(message);
      const refused = verdict.reason === undefined ? verdict.wouldRefuse : verdict;
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  /** Of what is signed, and by what: a copy that is sent again as it was has the same. */
  function printOf({ method, path, query, headers, body }: Message, client: string): string {
    const values = names.map((name) => fieldValue(headers, name) ?? null);
    return hash('sha256', JSON.stringify([client, method, path, query, values, hash('sha256', body)]));
  }
}

function notKept(refusal: Refusal, why: string): Refusal {
  return { ...refusal, detail: `${refusal.detail}; not quarantined: ${why}` };
}

/** An event that is stored after that lies in quarantine all the same: its sender was told no, and may send it again. */
async function within<Value>(keeping: Promise<Value>, withinMs: number): Promise<Value | Error> {
  const late = Promise.withResolvers<Error>();
  const timer = setTimeout(
    () => late.resolve(new Error('the state did not answer within the time the sender waits')),
    Math.min(Math.max(withinMs, 0), LONGEST_WAIT_MS),
  );
  const found = await Promise.race([keeping, late.promise]);
  clearTimeout(timer);
  return found;
}
