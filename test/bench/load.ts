import { setTimeout as pause } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { type Credentials, createSigner } from './event.ts';
import { loadIdentity, openConnection, readAnswers } from './wire.ts';

/** What the parent process asks for, as its first message; `'go'` follows once this process said `'ready'`. */
export interface LoadPlan {
  readonly port: number;
  readonly certificates: string;
  readonly credentials: Credentials;
  readonly requests: number;
  readonly connections: number;
  /** How many requests are under way at once; each connection carries one at a time. */
  readonly atOnce: number;
}

/** What the load saw; times in milliseconds. */
export interface LoadResult {
  readonly statuses: Record<string, number>;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly tls: string;
}

/** Signatures are good for five minutes: a run that takes longer would measure refusals. */
const LIFE_MS = 240_000;
const HANDSHAKES_AT_ONCE = 16;

/** Opens the connections, a few at a time: a thousand handshakes at once would only test the accept queue. */
async function openAll(plan: LoadPlan): Promise<TLSSocket[]> {
  const identity = loadIdentity(plan.certificates);
  const sockets: TLSSocket[] = [];
  while (sockets.length < plan.connections) {
    const count = Math.min(HANDSHAKES_AT_ONCE, plan.connections - sockets.length);
    sockets.push(
      ...(await Promise.all(Array.from({ length: count }, () => openConnection(plan.port, identity)))),
    );
  }
  return sockets;
}

/** Sends every request once; the connection that waited longest takes the next. Rejects when a connection breaks. */
function sendAll(
  requests: readonly Buffer[],
  sockets: readonly TLSSocket[],
  atOnce: number,
): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const waits = new Float64Array(requests.length);
    const statuses: Record<string, number> = {};
    const idle: (() => void)[] = [];
    let sent = 0;
    let answered = 0;
    const beganMs = performance.now();
    for (const socket of sockets) {
      let index = 0;
      let sentMs = 0;
      const send = () => {
        const request = requests[sent];
        if (request === undefined) return;
        index = sent++;
        sentMs = performance.now();
        socket.write(request);
      };
      readAnswers(socket, ({ status }) => {
        const nowMs = performance.now();
        waits[index] = nowMs - sentMs;
        statuses[status] = (statuses[status] ?? 0) + 1;
        answered += 1;
        if (answered === requests.length) resolve(summarise(statuses, waits, nowMs - beganMs, sockets[0]));
        idle.push(send);
        idle.shift()?.();
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`a connection closed after ${answered} answers`)));
      idle.push(send);
    }
    for (const send of idle.splice(0, atOnce)) send();
  });
}

function summarise(
  statuses: Record<string, number>,
  waits: Float64Array,
  tookMs: number,
  socket: TLSSocket | undefined,
): LoadResult {
  waits.sort();
  const at = (share: number) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? 0;
  const tls = `${socket?.getProtocol()} ${socket?.getCipher().name}`;
  return { statuses, seconds: tookMs / 1000, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), tls };
}

function nextMessage(): Promise<unknown> {
  return new Promise((resolve) => process.once('message', resolve));
}

const say = (message: object | string) => process.send?.(message);
process.once('disconnect', () => process.exit(0));
setTimeout(() => {
  console.error(`load: not done within ${LIFE_MS / 1000} s`);
  process.exit(1);
}, LIFE_MS);

const plan = (await nextMessage()) as LoadPlan;
const sign = createSigner(plan.credentials);
const requests = Array.from({ length: plan.requests }, () => sign());
const sockets = await openAll(plan);
// The connections settle (session tickets arrive) before the clock starts.
await pause(200);
const go = nextMessage();
say('ready');
await go;
// The connections stay open until the parent has measured and disconnects.
say(await sendAll(requests, sockets, plan.atOnce));
