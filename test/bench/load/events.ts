/** A load process: events over kept connections, each connection with one request at a time. */
import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { createSigner } from '../event.ts';
import { readAnswers, writeRequest } from '../wire.ts';
import { agreedTls, type LoadResult, openAll, serveLoad, Tally } from './process.ts';

const SETTLE_MS = 200;

await serveLoad(async (plan) => {
  const sign = createSigner(plan.credentials, plan.shape);
  const requests = Array.from({ length: plan.requests }, () => sign());
  const sockets = await openAll(plan);
  // The connections settle (session tickets arrive) before the clock starts.
  await pause(SETTLE_MS);
  return () => sendAll(requests, sockets, plan.atOnce);
});

/** Sends every request once; the connection that waited longest takes the next. Rejects when a connection breaks. */
function sendAll(
  requests: readonly (readonly Buffer[])[],
  sockets: readonly TLSSocket[],
  atOnce: number,
): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const tally = new Tally();
    const idle: (() => void)[] = [];
    let sent = 0;
    for (const socket of sockets) {
      let sentMs = 0;
      const send = () => {
        const request = requests[sent];
        if (request === undefined) return;
        sent += 1;
        sentMs = performance.now();
        writeRequest(socket, request);
      };
      readAnswers(socket, ({ status }) => {
        tally.add(status, sentMs);
        if (tally.count === requests.length) resolve(tally.result(agreedTls(socket)));
        idle.push(send);
        idle.shift()?.();
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`a connection closed after ${tally.count} answers`)));
      idle.push(send);
    }
    for (const send of idle.splice(0, atOnce)) send();
  });
}
