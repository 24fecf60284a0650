/**
 * A load process that sends as many events a second as it is told, whether or not the gateway keeps up: the next one
 * goes out on a connection that has none under way, and where there is none, the sender's own pool is used up.
 */
import { setPriority } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { createSigner } from '../event.ts';
import { readAnswers, writeRequest } from '../wire.ts';
import { agreedTls, type LoadPlan, type LoadResult, openAll, serveLoad, Tally } from './process.ts';

/** What an open load saw, beyond what every load does. */
export interface OpenResult extends LoadResult {
  /** Of those that were accepted. */
  readonly accepted: LoadResult;
  /** Due, and not sent: every connection had one under way. */
  readonly unsent: number;
  readonly unanswered: number;
  /** Turned away without being told when to come back. */
  readonly withoutRetryAfter: number;
}

const TICK_MS = 2;
/** What is under way at the end is waited for so long. */
const PATIENCE_MS = 30_000;

// The upstream, on the same core, comes first: what is measured is the gateway, not a service that starves.
setPriority(10);
await serveLoad(async (plan: LoadPlan) => {
  const { perSecond = 1000, requests } = plan;
  const sign = createSigner(plan.credentials, plan.shape);
  const events = Array.from({ length: requests }, () => sign());
  const sockets = await openAll(plan);
  return async (): Promise<OpenResult> => {
    const [all, accepted] = [new Tally(), new Tally()];
    const idle: ((request: readonly Buffer[]) => void)[] = [];
    const done = Promise.withResolvers<void>();
    let [due, sent, unsent, withoutRetryAfter] = [0, 0, 0, 0];
    for (const socket of sockets) {
      let sentMs = 0;
      const send = (request: readonly Buffer[]) => {
        sentMs = performance.now();
        writeRequest(socket, request);
      };
      readAnswers(socket, ({ status, head }) => {
        all.add(status, sentMs);
        if (status === 200) accepted.add(status, sentMs);
        else if (!/\r\nretry-after: \d/i.test(head)) withoutRetryAfter += 1;
        idle.push(send);
        if (due === requests && all.count === sent) done.resolve();
      });
      idle.push(send);
    }
    const beganMs = performance.now();
    while (due < requests) {
      const byNow = Math.min(requests, Math.floor(((performance.now() - beganMs) * perSecond) / 1000));
      for (; due < byNow; due += 1) {
        const send = idle.pop();
        if (send === undefined) unsent += 1;
        else {
          sent += 1;
          send(events[due] as readonly Buffer[]);
        }
      }
      await pause(TICK_MS);
    }
    if (all.count < sent) await Promise.race([done.promise, pause(PATIENCE_MS)]);
    const tls = agreedTls(sockets[0] as (typeof sockets)[number]);
    return {
      ...all.result(tls),
      accepted: accepted.result(tls),
      unsent,
      unanswered: sent - all.count,
      withoutRetryAfter,
    };
  };
});
