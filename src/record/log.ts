import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import pino, { type Logger } from 'pino';
import type { Attempt, Disposal, Lease } from '../events.ts';
import { ownerOf } from '../lane.ts';
import type { LogSettings } from '../settings.ts';
import type { Peer } from '../types.ts';
import type { Entry } from './entry.ts';
import { errorFacts } from './error-facts.ts';

const FLUSH_MS = 50;
const END_MS = 500;
const BATCH_CHARACTERS = 32 * 1024;
/** A log that takes nothing more (a hung disk, a full pipe) must not fill the memory: lines beyond this are lost. */
const MOST_WAITING_BYTES = 16 * 1024 * 1024;

export interface Log {
  readonly logger: Logger;
  /** Writes the one line of a request. */
  request(entry: Entry, totalMs: number): void;
  /** Writes the line of one delivery from the queue. */
  delivery(lease: Lease, attempt: Attempt, disposal: Disposal): void;
  /** Opens the file again under its name, after it was rotated. Does nothing for standard output. */
  reopen(): void;
  /** How many times lines could not be written. */
  losses(): number;
  /** Writes what is buffered and closes the log. Resolves with false where that takes longer than half a second. */
  end(): Promise<boolean>;
}

/**
 * Opens the log: one JSON line an entry, written by a buffered stream off the request's path, at most 50 ms late.
 * @throws Error where the file cannot be opened
 */
export function openLog({ level, destination }: LogSettings): Log {
  if (destination !== 'stdout') tryToOpen(destination);
  const stream = pino.destination({
    dest: destination === 'stdout' ? 1 : destination,
    sync: false,
    maxLength: MOST_WAITING_BYTES,
  });
  // A log that cannot be written (disk full, pipe closed) must not stop the gate: metrics still count.
  let losses = 0;
  for (const event of ['error', 'drop']) {
    stream.on(event, () => {
      losses += 1;
      if (losses === 1)
        process.stderr.write(`postern: the log at ${destination} cannot be written; lines are lost\n`);
    });
  }
  let batch = '';
  const pass = () => {
    if (batch !== '') stream.write(batch);
    batch = '';
  };
  // Batched here: the stream measures all it holds at each write.
  const write = (line: string) => {
    batch += line;
    if (batch.length > BATCH_CHARACTERS) pass();
  };
  const timer = setInterval(pass, FLUSH_MS).unref();
  const time = isoTime();
  const formatters = { level: (label: string) => ({ level: label }) };
  const serializers = { err: (error: unknown) => errorFacts(error) };
  const logger = pino({ level, base: null, timestamp: time, formatters, serializers }, { write });
  const shown = peerTexts();
  return {
    logger,
    request: (entry, totalMs) => {
      if (!logger.isLevelEnabled('info')) return;
      // The same line as pino would write, by the runtime's own serialiser: it is on the path of every request.
      const fields = JSON.stringify(requestFields(entry, totalMs));
      write(`{"level":"info"${time()},"peer":${shown(entry.peer)},${fields.slice(1, -1)},"msg":"request"}\n`);
    },
    delivery: (lease, attempt, disposal) => {
      const level = disposal.state === 'dead' ? 'warn' : 'info';
      logger[level](deliveryFields(lease, attempt, disposal), 'delivery');
    },
    reopen: () => {
      pass();
      if (destination !== 'stdout') stream.reopen();
    },
    losses: () => losses,
    end: async () => {
      clearInterval(timer);
      pass();
      const closed = Promise.withResolvers<boolean>();
      const giveUp = setTimeout(() => closed.resolve(false), END_MS);
      stream.once('close', () => closed.resolve(true));
      stream.end();
      const isClosed = await closed.promise;
      clearTimeout(giveUp);
      return isClosed;
    },
  };
}

/** The stream opens its file later and tells nobody; a path that cannot be written is a mistake to be told at start. */
function tryToOpen(file: string): void {
  mkdirSync(dirname(file), { recursive: true });
  closeSync(openSync(file, 'a'));
}

function requestFields(entry: Entry, totalMs: number): object {
  return {
    id: entry.id,
    route: entry.route,
    sender: entry.sender,
    client: entry.client,
    method: entry.method,
    path: entry.path,
    status: entry.status,
    outcome: entry.outcome,
    reason: entry.reason,
    detail: entry.detail,
    message_id: entry.messageId,
    event_type: entry.eventType,
    secret: entry.secret,
    would_refuse: entry.wouldRefuse,
    bytes: entry.bytes,
    upstream: entry.upstream,
    upstream_status: entry.upstreamStatus,
    ms: {
      total: round(totalMs),
      waited: round(entry.waitedMs),
      body: round(entry.bodyMs),
      upstream: round(entry.upstreamMs),
    },
  };
}

function deliveryFields({ event }: Lease, attempt: Attempt, disposal: Disposal): object {
  return {
    id: event.id,
    ...ownerOf(event.route),
    message_id: event.messageId,
    event_type: event.eventType,
    attempt: attempt.number,
    forced: event.forced === undefined ? undefined : true,
    outcome: disposal.state,
    upstream: attempt.target,
    upstream_status: attempt.status,
    reason: attempt.reason,
    detail: attempt.detail,
    due: disposal.state === 'waiting' ? new Date(disposal.dueMs).toISOString() : undefined,
    ms: { upstream: attempt.durationMs },
  };
}

/** A peer says the same on every line of its connection. */
function peerTexts(): (peer: Peer) => string {
  const texts = new WeakMap<Peer, string>();
  return (peer) => {
    let text = texts.get(peer);
    if (text === undefined) {
      const { address, certificate } = peer;
      const shown = certificate && { subject: certificate.subject, fingerprint: certificate.fingerprint };
      text = JSON.stringify({ address, certificate: shown });
      texts.set(peer, text);
    }
    return text;
  };
}

function round(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 10) / 10;
}

/** The text of one millisecond serves all lines of it. */
function isoTime(): () => string {
  let lastMs = 0;
  let text = '';
  return () => {
    const nowMs = Date.now();
    if (nowMs !== lastMs) {
      lastMs = nowMs;
      text = `,"time":"${new Date(nowMs).toISOString()}"`;
    }
    return text;
  };
}
