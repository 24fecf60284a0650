import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Figures } from './results.ts';

const README = join(import.meta.dirname, 'README.md');

interface Target {
  readonly what: string;
  readonly must: number;
  readonly aim: number;
  /** Whether more is better: of a throughput. */
  readonly atLeast?: boolean;
  readonly last: (figures: Figures) => number | undefined;
}

const GROWTH = { must: 1.1, aim: 1.03 };

/** What Postern is held to; ratios but for the last. */
const TARGETS: readonly Target[] = [
  {
    what: 'CPU for a request, x HAProxy',
    must: 1.9,
    aim: 1.4,
    last: ({ request }) => request?.postern?.timesHaproxy,
  },
  { what: '- x nginx + njs', must: 1.3, aim: 0.95, last: ({ request }) => request?.nginx?.posternTimes },
  { what: '- x Caddy', must: 0.5, aim: 0.4, last: ({ request }) => request?.caddy?.posternTimes },
  { what: '- x fastify + svix', must: 0.28, aim: 0.2, last: ({ request }) => request?.fastify?.posternTimes },
  {
    what: 'CPU for a full handshake, x HAProxy',
    must: 1.05,
    aim: 0.9,
    last: ({ handshake }) => handshake?.postern?.timesHaproxy,
  },
  { what: 'p99, x HAProxy', must: 3, aim: 2, last: ({ request }) => request?.postern?.p99TimesHaproxy },
  {
    what: '1 MiB signed bodies, MiB/s x HAProxy',
    must: 0.8,
    aim: 1,
    atLeast: true,
    last: ({ bodies }) => bodies?.postern?.timesHaproxy,
  },
  growthTarget('routes'),
  growthTarget('CIDRs in the list of addresses'),
  growthTarget('rate-limit keys'),
  growthTarget('remembered event ids'),
  growthTarget('bytes of the body'),
  growthTarget('idle connections beside the load'),
  {
    what: 'an idle mTLS connection, KiB',
    must: 70,
    aim: 50,
    last: ({ memory }) => memory?.postern?.idleConnectionKib,
  },
];

/** Writes the targets with the figures last measured into the README, between its two marks. */
export function writeTargets(figures: Figures): void {
  const text = readFileSync(README, 'utf8');
  const rows = TARGETS.map(({ what, must, aim, atLeast = false, last }) => {
    const figure = last(figures);
    return `| ${what} | ${must} | ${aim} | ${figure?.toFixed(2) ?? '-'} | ${judge(figure, must, aim, atLeast)} |`;
  });
  const table = ['| measure | must | aim | last | |', '| --- | --- | --- | --- | --- |', ...rows].join('\n');
  const block = /(<!-- targets -->\n)[\s\S]*(<!-- \/targets -->)/;
  writeFileSync(
    README,
    text.replace(block, (_all, begin: string, end: string) => `${begin}\n${table}\n\n${end}`),
  );
}

function judge(figure: number | undefined, must: number, aim: number, atLeast: boolean): string {
  if (figure === undefined) return 'not measured';
  const isWithin = (bound: number) => (atLeast ? figure >= bound : figure <= bound);
  if (isWithin(aim)) return 'aim reached';
  return isWithin(must) ? 'held' : '**missed**';
}

function growthTarget(what: string): Target {
  const last = ({ growth }: Figures) => growth?.find((row) => row.what === what)?.ratio;
  return { what: `growth: ${what}`, ...GROWTH, last };
}
