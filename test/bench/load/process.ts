import type { TLSSocket } from 'node:tls';
import type { Credentials, EventShape } from '../event.ts';
import { loadIdentity, openConnection } from '../wire.ts';

/** What the parent process asks for, as its first message; `'go'` follows once the load said `'ready'`. */
export interface LoadPlan {
  readonly port: number;
  /** The folder of the certificates. */
  readonly certificates: string;
  readonly credentials: Credentials;
  readonly shape: EventShape;
  readonly requests: number;
  readonly connections: number;
  /** How many requests are under way at once; each connection carries one at a time. */
  readonly atOnce: number;
  /** How many requests are due in a second, for a load that does not wait for answers. */
  readonly perSecond?: number;
}

/** What the load saw; times in milliseconds. */
export interface LoadResult {
  readonly statuses: Readonly<Record<string, number>>;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly tls: string;
}

/** Signatures are good for five minutes: a run that takes longer would measure refusals. */
const LIFE_MS = 240_000;
const HANDSHAKES_AT_ONCE = 16;

/**
 * The life of a load process: the plan comes, `prepare` does all that is before the clock, and the function it returns
 * is run at `'go'`. What it opened stays open until the parent has measured and disconnects.
 */
export async function serveLoad(
  prepare: (plan: LoadPlan) => Promise<() => Promise<LoadResult>>,
): Promise<void> {
  const say = (message: object | string) => process.send?.(message);
  process.once('disconnect', () => process.exit(0));
  setTimeout(() => {
    console.error(`load: not done within ${LIFE_MS / 1000} s`);
    process.exit(1);
  }, LIFE_MS);
  const run = await prepare((await nextMessage()) as LoadPlan);
  const go = nextMessage();
  say('ready');
  await go;
  say(await run());
}

/** Opens the connections, a few at a time: a thousand handshakes at once would only test the accept queue. */
export async function openAll({ certificates, port, connections }: LoadPlan): Promise<TLSSocket[]> {
  const identity = loadIdentity(certificates);
  const sockets: TLSSocket[] = [];
  while (sockets.length < connections) {
    const count = Math.min(HANDSHAKES_AT_ONCE, connections - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: count }, () => openConnection(port, identity)))));
  }
  return sockets;
}

/** Counts answers and times, for one `LoadResult`. */
export class Tally {
  readonly #statuses: Record<string, number> = {};
  readonly #waitsMs: number[] = [];
  readonly #beganMs = performance.now();

  /** One answer, to what was sent at `sentMs` of the monotonic clock. */
  add(status: number, sentMs: number): void {
    this.#statuses[status] = (this.#statuses[status] ?? 0) + 1;
    this.#waitsMs.push(performance.now() - sentMs);
  }

  /** How many answers there were. */
  get count(): number {
    return this.#waitsMs.length;
  }

  /** @param tls what the connections agreed on, by `agreedTls` */
  result(tls: string): LoadResult {
    const seconds = (performance.now() - this.#beganMs) / 1000;
    const sorted = Float64Array.from(this.#waitsMs).sort();
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { statuses: this.#statuses, seconds, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), tls };
  }
}

/** Protocol, cipher and whether the handshake was a full one, for the reader to compare. */
export function agreedTls(socket: TLSSocket): string {
  const { type, name } = socket.getEphemeralKeyInfo() as { type?: string; name?: string };
  const kind = socket.isSessionReused() ? 'resumed' : 'full';
  return `${socket.getProtocol()} ${socket.getCipher().name} ${name ?? type} ${kind}`;
}

function nextMessage(): Promise<unknown> {
  return new Promise((resolve) => process.once('message', resolve));
}
