import pino, { type Logger } from 'pino';
import type { LogSettings } from '../settings.ts';
import type { Certificate } from '../types.ts';
import type { Entry } from './entry.ts';

const FLUSH_MS = 50;
const BUFFER_BYTES = 8 * 1024;

export interface Log {
  readonly logger: Logger;
  /** Writes the one line of a request. */
  request(entry: Entry, totalMs: number): void;
  /** Opens the file again under its name, after it was rotated. Does nothing for standard output. */
  reopen(): void;
  /** Writes what is buffered, before the process ends. */
  flush(): void;
}

/**
 * Opens the log: one JSON line an entry, written by a buffered stream off the request's path, at most 50 ms late.
 * @throws Error where the file cannot be opened
 */
export function openLog({ level, destination }: LogSettings): Log {
  const stream = pino.destination({
    dest: destination === 'stdout' ? 1 : destination,
    sync: false,
    minLength: BUFFER_BYTES,
    mkdir: true,
  });
  // A log that cannot be written (disk full, pipe closed) must not stop the gate: metrics still count.
  stream.on('error', () => undefined);
  const timer = setInterval(() => stream.flush(() => undefined), FLUSH_MS).unref();
  const logger = pino(
    { level, base: null, timestamp: isoTime(), formatters: { level: (label) => ({ level: label }) } },
    stream,
  );
  return {
    logger,
    request: (entry, totalMs) => logger.info(line(entry, totalMs), 'request'),
    reopen: () => {
      if (destination !== 'stdout') stream.reopen();
    },
    flush: () => {
      clearInterval(timer);
      try {
        stream.flushSync();
      } catch {
        // Nobody is left to be told.
      }
    },
  };
}

function line(entry: Entry, totalMs: number): object {
  const { peer } = entry;
  return {
    id: entry.id,
    route: entry.route,
    sender: entry.sender,
    peer: { address: peer.address, certificate: peer.certificate && shown(peer.certificate) },
    method: entry.method,
    path: entry.path,
    status: entry.status,
    outcome: entry.outcome,
    reason: entry.reason,
    detail: entry.detail,
    message_id: entry.messageId,
    event_type: entry.eventType,
    secret: entry.secret,
    bytes: entry.bytes,
    upstream: entry.upstream,
    upstream_status: entry.upstreamStatus,
    ms: { total: round(totalMs), body: round(entry.bodyMs), upstream: round(entry.upstreamMs) },
  };
}

function shown({ subject, fingerprint }: Certificate): object {
  return { subject, fingerprint };
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
