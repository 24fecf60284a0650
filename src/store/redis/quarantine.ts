import type { AcceptedClaim, Queue, QueuedEvent } from '../../events.ts';
import type { Sealer } from '../seal.ts';
import type { SharedClaims } from './claims.ts';
import { eventIn, type JobData, jobData, jobIdOf, jobName } from './job.ts';
import type { Link } from './link.ts';
import { quarantineId } from './quarantine-keys.ts';
import { enterQuarantine, leaveQuarantine } from './quarantine-scripts.ts';
import type { RouteQueue } from './route-queue.ts';

export interface SharedQuarantineOptions {
  readonly link: Link;
  readonly prefix: string;
  readonly claims: SharedClaims;
  readonly sealer: Sealer | undefined;
  readonly at: (route: string) => RouteQueue;
  /** Makes an event a job, in the place of an earlier one that is done with. */
  readonly store: (event: QueuedEvent, jobId: string, claim: AcceptedClaim | undefined) => Promise<unknown>;
  /** The id of the event by which this very message is a job already; `undefined`: it is none. */
  readonly acceptedAs: (
    event: QueuedEvent,
    jobId: string,
    claim: AcceptedClaim | undefined,
  ) => Promise<string | undefined>;
}

/** The quarantine of all gateways of one prefix together. */
export function sharedQuarantine({
  link,
  prefix,
  claims,
  sealer,
  at,
  store,
  acceptedAs,
}: SharedQuarantineOptions): Pick<Queue, 'quarantine' | 'release'> {
  return {
    async quarantine(event, bounds) {
      const name = jobName(event);
      const data = JSON.stringify(jobData(event, sealer));
      const { base } = at(event.route);
      return link.ask((client) => enterQuarantine(client, prefix, base, { event, name, data, bounds }));
    },
    /**
     * BullMQ adds a job by scripts of its own, so this is three steps, under a claim in flight: whoever is cut off behind
     * the first has left the event in quarantine too, and the job with its id tells the next one to go on from there.
     */
    async release({ id, place: _place, route, ...proved }, claim) {
      if (claim !== undefined && !claims.holds(claim.key, claim.token))
        throw new Error('the claim was overrun: another request has the event');
      const here = at(route);
      const [name, data] = await link.ask((client) =>
        client.hmget(here.base + quarantineId(id), 'name', 'data'),
      );
      if (typeof name !== 'string' || typeof data !== 'string') return 'gone';
      const kept = eventIn(route, name, JSON.parse(data) as JobData, sealer);
      const event = { ...kept, ...proved };
      const jobId = jobIdOf(event);
      const accepted = await acceptedAs(event, jobId, claim);
      if (accepted !== undefined && accepted !== id) return 'duplicate';
      if (accepted === undefined) await store(event, jobId, claim);
      await link.ask((client) => leaveQuarantine(client, prefix, here, kept));
      if (claim !== undefined)
        await claims.keep(claim.key, claim.token, ACCEPTED, claim.rememberMs).catch(() => undefined);
      return 'released';
    },
  };
}

const ACCEPTED = Object.freeze({ status: 202 });
