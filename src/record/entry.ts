import type { Reason, Reported } from '../reasons.ts';
import type { Peer } from '../types.ts';

/** What became of a request, in a word. */
export type Outcome =
  | 'delivered'
  | 'queued'
  | 'quarantined'
  | 'duplicate'
  | 'filtered'
  | 'refused'
  | 'failed';

/** One request as it is recorded: filled in on its way through the gateway, written once at its end. */
export interface Entry {
  readonly id: string;
  readonly peer: Peer;
  readonly startedMs: number;
  readonly method: string | undefined;
  readonly path: string | undefined;
  route: string | undefined;
  sender: string | undefined;
  /** The known client that the request named. */
  client: string | undefined;
  /** `undefined`: no answer was sent. */
  status: number | undefined;
  outcome: Outcome;
  reason: Reason | undefined;
  detail: string | undefined;
  messageId: string | undefined;
  eventType: string | undefined;
  /** Place of the signature secret that matched. */
  secret: number | undefined;
  /** What checks in report mode would have refused, in their order; `undefined`: nothing. */
  wouldRefuse: readonly Reported[] | undefined;
  bytes: number;
  upstream: string | undefined;
  upstreamStatus: number | undefined;
  /** How long the request waited for its turn under a rate limit. */
  waitedMs: number | undefined;
  bodyMs: number | undefined;
  upstreamMs: number | undefined;
}

/** An entry about which nothing more is known than that a request began. */
export function newEntry(
  request: Pick<Entry, 'id' | 'peer' | 'startedMs'> & {
    method?: string | undefined;
    path?: string | undefined;
  },
): Entry {
  return {
    id: request.id,
    peer: request.peer,
    startedMs: request.startedMs,
    method: request.method,
    path: request.path,
    route: undefined,
    sender: undefined,
    client: undefined,
    status: undefined,
    outcome: 'failed',
    reason: undefined,
    detail: undefined,
    messageId: undefined,
    eventType: undefined,
    secret: undefined,
    wouldRefuse: undefined,
    bytes: 0,
    upstream: undefined,
    upstreamStatus: undefined,
    waitedMs: undefined,
    bodyMs: undefined,
    upstreamMs: undefined,
  };
}
