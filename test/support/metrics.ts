import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Gateway } from './gateway.ts';

const PATIENCE_MS = 20_000;
const PAUSE_MS = 20;

/** The value of one metric, with exactly these labels, as the gateway tells it now; `undefined`: there is none. */
export async function metricOf(
  gateway: Gateway,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number | undefined> {
  const response = await fetch(`http://127.0.0.1:${gateway.admin?.port}/metrics`);
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  for (const line of (await response.text()).split('\n')) {
    const [, found, inner, value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    const given = inner === undefined ? [] : inner.split(/,(?=\w+=")/);
    if (found === name && given.toSorted().join() === wanted.toSorted().join()) return Number(value);
  }
  return undefined;
}

/** The same by its whole name, as `name{label="value"}`; 0 where it is not there. */
export async function metric(gateway: Gateway, series: string): Promise<number> {
  const [name = '', inner = ''] = series.split(/[{}]/);
  const labels = [...inner.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]);
  return (await metricOf(gateway, name, Object.fromEntries(labels))) ?? 0;
}

/** Resolves once the value is as it should be: it tells of things that have no event of their own. */
export async function untilMetric(
  gateway: Gateway,
  name: string,
  isRight: (value: number) => boolean,
): Promise<number> {
  const byMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const value = await metric(gateway, name);
    if (isRight(value)) return value;
    if (performance.now() > byMs) throw new Error(`${name} stays ${value}`);
    await pause(PAUSE_MS);
  }
}

/** Resident memory of a process, MiB. */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}
