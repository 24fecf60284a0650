import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import type { PeerName } from './peers.ts';

const FILE = join(import.meta.dirname, 'results.json');

export const PART_NAMES = ['request', 'handshake', 'bodies', 'memory', 'growth'] as const;

export type PartName = (typeof PART_NAMES)[number];

/** What one gateway's requests cost, small ones over kept connections; medians of the rounds. */
export interface RequestFigures {
  readonly cpuSecondsPer10k: number;
  /** The best and the worst round. */
  readonly lowestPer10k: number;
  readonly highestPer10k: number;
  readonly timesHaproxy?: number | undefined;
  /** Postern's CPU over this gateway's. */
  readonly posternTimes?: number | undefined;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p99TimesHaproxy?: number | undefined;
  /** The worst of all rounds, not a median: a stalled event loop shows here. */
  readonly maxMs: number;
  readonly waitedPercent: number;
  readonly rssMib: number;
}

export interface HandshakeFigures {
  readonly cpuSecondsPer10k: number;
  readonly timesHaproxy?: number | undefined;
  readonly p99Ms: number;
}

export interface BodyFigures {
  readonly mibPerSecond: number;
  readonly timesHaproxy?: number | undefined;
  readonly cpuSecondsPerGib: number;
  /** How busy the load's core was: near 100 the gateway could have done more. */
  readonly loadPercent: number;
}

export interface MemoryFigures {
  readonly rssBeforeMib: number;
  readonly idleConnectionKib: number;
}

/** One thing that grows, in CPU microseconds. */
export interface GrowthRow {
  readonly what: string;
  /** What the microseconds are for: a request, or a MiB. */
  readonly per: string;
  readonly small: { readonly size: string; readonly us: number };
  readonly large: { readonly size: string; readonly us: number };
  /** The median of the ratios of each round. */
  readonly ratio: number;
}

type ByPeer<Figures> = Readonly<Partial<Record<PeerName, Figures>>>;

/** The figures of each part that was measured. */
export interface Figures {
  readonly request?: ByPeer<RequestFigures>;
  readonly handshake?: ByPeer<HandshakeFigures>;
  readonly bodies?: ByPeer<BodyFigures>;
  readonly memory?: ByPeer<MemoryFigures>;
  readonly growth?: readonly GrowthRow[];
}

/** Where and how a part was measured last. */
export interface Circumstances {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly versions: ByPeer<string>;
  /** How many rounds, requests and connections. */
  readonly counts: Readonly<Record<string, number>>;
}

/** `results.json`. */
export interface Results {
  readonly figures: Figures;
  readonly measured: Readonly<Partial<Record<PartName, Circumstances>>>;
}

export function circumstances(versions: ByPeer<string>, counts: Circumstances['counts']): Circumstances {
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    versions,
    counts,
  };
}

/** The last results, of each part from the last run that measured it. */
export function readResults(): Results {
  return existsSync(FILE)
    ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results)
    : { figures: {}, measured: {} };
}

/** Writes one part's figures; the other parts stay as they are. */
export function writePart<Name extends PartName>(
  name: Name,
  figures: Figures[Name],
  how: Circumstances,
): void {
  const last = readResults();
  const results = {
    figures: { ...last.figures, [name]: figures },
    measured: { ...last.measured, [name]: how },
  };
  writeFileSync(FILE, `${JSON.stringify(results, undefined, 2)}\n`);
}
