import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import type { HealthSettings, UpstreamSettings } from '../settings.ts';
import { describeError } from './fault.ts';
import type { Pool } from './pool.ts';

/** Asks every target again and again whether it is well. Keeps no process alive. @returns what ends it */
export function watchHealth(pools: readonly Pool[], { health, headers }: UpstreamSettings): () => void {
  const stops = health === undefined ? [] : pools.map((pool) => watch(pool, health, headers));
  return () => {
    for (const stop of stops) stop();
  };
}

function watch(pool: Pool, health: HealthSettings, headers: readonly string[]): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let stopAsking: () => void = () => undefined;
  const ask = () => {
    stopAsking = examine(pool, health, headers, (illness) => {
      if (isStopped) return;
      timer = setTimeout(ask, health.intervalMs).unref();
      pool.examined(illness);
    });
  };
  ask();
  return () => {
    isStopped = true;
    clearTimeout(timer);
    stopAsking();
  };
}

/**
 * One GET over a connection of its own: a kept one would not tell whether the target still takes new ones.
 * @param found called once with what is wrong; `undefined`: a 2xx came in time
 * @returns what ends it early
 */
function examine(
  { target, dial }: Pool,
  { path, timeoutMs }: HealthSettings,
  headers: readonly string[],
  found: (illness: string | undefined) => void,
): () => void {
  let socket: Socket | undefined;
  const client = new Client(target.origin, {
    allowH2: false,
    connect: (_options, done) => {
      socket = dial(done as (error: Error | null, socket: Socket | null) => void).unref();
    },
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  const end = (illness: string | undefined) => {
    clearTimeout(timer);
    client.destroy();
    socket?.destroy();
    const tell = found;
    found = () => undefined;
    tell(illness);
  };
  const timer = setTimeout(() => end(`no answer within ${timeoutMs} ms`), timeoutMs).unref();
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: () => undefined,
    onResponseStart: (_controller, status) => {
      // What follows the status line is of no interest, so the connection ends here.
      if (status >= 200) queueMicrotask(() => end(status < 300 ? undefined : `answered ${status}`));
    },
    onResponseData: () => undefined,
    onResponseEnd: () => undefined,
    onResponseError: (_controller, error) => end(describeError(error)),
  };
  client.dispatch({ method: 'GET', path, headers: [...headers], reset: true }, handler);
  return () => end(undefined);
}
