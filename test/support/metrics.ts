import type { Gateway } from './gateway.ts';

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
