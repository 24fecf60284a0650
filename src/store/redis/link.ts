import type { RedisSettings } from '../../state-settings.ts';
import { ANSWER_MS, type Client, connectClient } from './client.ts';
import { explain, isAway } from './fault.ts';
import { TimedOut, within } from './within.ts';

const TICK_MS = 250;
/** How often a Redis of which nothing bad is known is asked. */
const PROBE_TICKS = 4;
/** After so many probes without an answer the connection itself is thought dead. */
const PROBES_UNTIL_RECONNECT = 4;

/** What is told of a Redis that is lost and found again. */
export interface LinkNotes {
  away(problem: string): void;
  back(awayMs: number): void;
}

/** The way to one Redis. Every request is told at once while it is known to be away, and waits 500 ms at most otherwise. */
export interface Link {
  /** For what has no use for `ask`; its commands fail at once without a connection. */
  readonly client: Client;
  /** Why Redis is out of reach; `undefined`: it answers. */
  problem(): string | undefined;
  /** Rejects with a sentence for an operator. */
  ask<Value>(send: (client: Client) => Promise<Value>): Promise<Value>;
  /** Called each time Redis can be reached again, the first time included. */
  onBack(call: () => void): void;
  /** Resolves once Redis answers, or after this time. */
  ready(withinMs: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Connects in the background, for as long as it takes.
 * @param probe does all that the state needs of Redis, so that a right that lacks is found before a request needs it
 */
export function openLink(
  settings: RedisSettings,
  probe: (client: Client) => Promise<unknown>,
  notes: LinkNotes,
): Link {
  const [first] = settings.url.hosts;
  const client = connectClient(settings);
  const back: (() => void)[] = [];
  const firstTime = Promise.withResolvers<void>();
  let problem: string | undefined = `redis: connecting to ${first?.host}:${first?.port}`;
  let lostMs: number | undefined;
  let lastError: string | undefined;
  let probing = false;
  let silent = 0;
  let ticks = 0;
  let isClosed = false;

  function lose(reason: string): void {
    problem = reason;
    if (lostMs !== undefined || isClosed) return;
    lostMs = performance.now();
    notes.away(reason);
  }

  function find(): void {
    lastError = undefined;
    silent = 0;
    if (problem === undefined) return;
    problem = undefined;
    firstTime.resolve();
    if (lostMs !== undefined) notes.back(performance.now() - lostMs);
    lostMs = undefined;
    for (const call of back) call();
  }

  async function look(): Promise<void> {
    if (probing || isClosed || client.status !== 'ready') return;
    probing = true;
    try {
      await within(probe(client), ANSWER_MS);
      find();
    } catch (error) {
      lose(explain(error));
      silent = isAway(error) && (error as Error).name !== 'ReplyError' ? silent + 1 : 0;
      // A machine that vanished closes nothing: without this the old connection would be kept for minutes.
      if (silent >= PROBES_UNTIL_RECONNECT && client.status === 'ready') {
        silent = 0;
        client.disconnect(true);
      }
    } finally {
      probing = false;
    }
  }

  const ticking = setInterval(() => {
    ticks += 1;
    if (client.status === 'end' && !isClosed) client.connect().catch(() => undefined);
    if (problem !== undefined || ticks % PROBE_TICKS === 0) look();
  }, TICK_MS).unref();

  client.on('error', (error: unknown) => {
    lastError = explain(error);
    if (client.status !== 'ready') lose(lastError);
  });
  client.on('ready', () => void look());
  client.on('close', () => lose(lastError ?? problem ?? 'redis: the connection was lost'));

  return {
    client,
    problem: () => problem,
    async ask(send) {
      if (problem !== undefined) throw new Error(problem);
      try {
        return await within(send(client), ANSWER_MS);
      } catch (error) {
        const reason = explain(error);
        // Much may have been asked at once: whether Redis is away is for the probe to say.
        if (error instanceof TimedOut) void look();
        else if (isAway(error)) lose(reason);
        throw new Error(reason);
      }
    },
    onBack: (call) => {
      back.push(call);
      if (problem === undefined) call();
    },
    ready: (withinMs) => within(firstTime.promise, withinMs).catch(() => undefined),
    async close() {
      isClosed = true;
      clearInterval(ticking);
      client.disconnect();
    },
  };
}
