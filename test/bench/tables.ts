import { PEER_NAMES, PEERS, type PeerName } from './peers.ts';
import type { Figures, GrowthRow } from './results.ts';

type Row = readonly [label: string, ofPeer: (figures: Figures, name: PeerName) => string];

/** A measure a row, a gateway a column; a gateway that was not measured shows a dash. */
const ROWS: readonly Row[] = [
  ['CPU s / 10,000 requests', ({ request }, name) => digits(request?.[name]?.cpuSecondsPer10k, 2)],
  ['  x HAProxy', ({ request }, name) => digits(request?.[name]?.timesHaproxy, 2)],
  ['  Postern x this one', ({ request }, name) => digits(request?.[name]?.posternTimes, 2)],
  ['requests / s', ({ request }, name) => digits(request?.[name]?.requestsPerSecond, 0)],
  ['p50 ms', ({ request }, name) => digits(request?.[name]?.p50Ms, 1)],
  ['p99 ms', ({ request }, name) => digits(request?.[name]?.p99Ms, 1)],
  ['  x HAProxy', ({ request }, name) => digits(request?.[name]?.p99TimesHaproxy, 2)],
  ['max ms', ({ request }, name) => digits(request?.[name]?.maxMs, 0)],
  ['waited for a core, %', ({ request }, name) => digits(request?.[name]?.waitedPercent, 0)],
  ['handshakes: CPU s / 10,000', ({ handshake }, name) => digits(handshake?.[name]?.cpuSecondsPer10k, 1)],
  ['  x HAProxy', ({ handshake }, name) => digits(handshake?.[name]?.timesHaproxy, 2)],
  ['1 MiB bodies: MiB / s', ({ bodies }, name) => digits(bodies?.[name]?.mibPerSecond, 0)],
  ['  x HAProxy', ({ bodies }, name) => digits(bodies?.[name]?.timesHaproxy, 2)],
  ['  CPU s / GiB', ({ bodies }, name) => digits(bodies?.[name]?.cpuSecondsPerGib, 2)],
  ["  load's core busy, %", ({ bodies }, name) => digits(bodies?.[name]?.loadPercent, 0)],
  ['memory after the load, MiB', ({ request }, name) => digits(request?.[name]?.rssMib, 0)],
  ['  idle connection, KiB', ({ memory }, name) => digits(memory?.[name]?.idleConnectionKib, 1)],
];

/** The gateways side by side: the rows that some gateway has a figure for. */
export function comparisonTable(figures: Figures): string {
  const names = PEER_NAMES.filter((name) =>
    [figures.request, figures.handshake, figures.bodies, figures.memory].some((part) => part?.[name]),
  );
  const rows = ROWS.map(([label, ofPeer]) => [label, ...names.map((name) => ofPeer(figures, name))]);
  return layOut([
    ['', ...names.map((name) => `${PEERS[name].title}${PEERS[name].signs ? '' : ' *'}`)],
    ...rows.filter(([, ...cells]) => cells.some((cell) => cell !== '-')),
  ]);
}

/** Postern alone: what grows, and what a request costs at both ends. */
export function growthTable(rows: readonly GrowthRow[]): string {
  return layOut([
    ['what grows', 'from', 'CPU us', 'to', 'CPU us', 'ratio', 'for each'],
    ...rows.map(({ what, per, small, large, ratio }) => [
      what,
      small.size,
      digits(small.us, 1),
      large.size,
      digits(large.us, 1),
      digits(ratio, 2),
      per,
    ]),
  ]);
}

function digits(value: number | undefined, after: number): string {
  return value?.toFixed(after) ?? '-';
}

/** The first column to the left, the others to the right. */
function layOut(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = ([first = '', ...rest]: readonly string[]) =>
    [first.padEnd(widths[0] ?? 0), ...rest.map((cell, place) => cell.padStart(widths[place + 1] ?? 0))].join(
      '  ',
    );
  return rows.map(line).join('\n');
}
