import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PEER_NAMES, PEERS, type PeerName } from './peers.ts';
import type { Figures } from './results.ts';

const FILE = join(import.meta.dirname, 'chart.svg');
const WIDTH = 720;
/** Where the bars begin; the names are to the left of it. */
const LEFT = 130;
/** What the longest bar takes, so that its figure fits behind it. */
const LONGEST = 500;
const ROW = 26;
const TITLE = 34;

/** Text and axis in a grey that reads on white and on black, where the reader's preference is not known. */
const STYLE = `
text { font: 13px system-ui, sans-serif; fill: #57606a }
.title { font-weight: 600; fill: #24292f }
.bar { fill: #9aa4af }
.ours { fill: #0969da }
.base { stroke: #57606a; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa4af }
  .title { fill: #e6edf3 }
  .bar { fill: #57606a }
  .ours { fill: #4493f8 }
  .base { stroke: #9aa4af }
}`;

interface Bar {
  readonly name: PeerName;
  readonly times: number;
}

/** Writes `chart.svg`: CPU and p99 of each gateway in multiples of HAProxy's. Does nothing without these figures. */
export function writeChart({ request }: Figures): void {
  const barsOf = (pick: (name: PeerName) => number | undefined): Bar[] =>
    PEER_NAMES.flatMap((name) => {
      const times = pick(name);
      return times === undefined ? [] : [{ name, times }];
    });
  const cpu = barsOf((name) => request?.[name]?.timesHaproxy);
  const p99 = barsOf((name) => request?.[name]?.p99TimesHaproxy);
  if (cpu.length === 0) return;
  const second = TITLE + cpu.length * ROW + 12;
  const height = second + TITLE + p99.length * ROW + 26;
  const body = [
    ...drawGroup('CPU for a request, x HAProxy (less is better)', cpu, 0),
    ...drawGroup('99th percentile of the answer time, x HAProxy', p99, second),
    `<text x="0" y="${height - 6}">* Caddy checks neither signature nor rate.</text>`,
  ];
  writeFileSync(
    FILE,
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${describe(cpu, p99)}">\n<style>${STYLE}\n</style>\n${body.join('\n')}\n</svg>\n`,
  );
}

function drawGroup(title: string, bars: readonly Bar[], top: number): string[] {
  const scale = LONGEST / Math.max(...bars.map(({ times }) => times));
  const base = LEFT + scale;
  const first = top + TITLE;
  return [
    `<text class="title" x="0" y="${top + 18}">${title}</text>`,
    ...bars.flatMap(({ name, times }, place) => {
      const y = first + place * ROW;
      const width = Math.max(1, Math.round(times * scale));
      return [
        `<text x="0" y="${y + 14}">${titleOf(name)}</text>`,
        `<rect class="bar${name === 'postern' ? ' ours' : ''}" x="${LEFT}" y="${y}" width="${width}" height="18" rx="2"/>`,
        `<text x="${LEFT + width + 8}" y="${y + 14}">${times.toFixed(2)}</text>`,
      ];
    }),
    `<path class="base" d="M${base.toFixed(1)} ${first - 4}V${first + bars.length * ROW - 4}"/>`,
  ];
}

function describe(cpu: readonly Bar[], p99: readonly Bar[]): string {
  const list = (bars: readonly Bar[]) =>
    bars.map(({ name, times }) => `${titleOf(name)} ${times.toFixed(2)}`).join(', ');
  return `In multiples of HAProxy. CPU for a request: ${list(cpu)}. 99th percentile: ${list(p99)}.`;
}

function titleOf(name: PeerName): string {
  return `${PEERS[name].title}${PEERS[name].signs ? '' : ' *'}`;
}
