import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { readFileLimit } from './measure.ts';
import { hasProgram, PEER_NAMES, PEERS, type PeerName } from './peers.ts';
import { PART_NAMES, type PartName } from './results.ts';

/** The most connections that growth opens beside the load. */
const GROWTH_CONNECTIONS = 5_000;
const SPARE_FILES = 500;

export interface Options {
  readonly rounds: number;
  readonly requests: number;
  readonly connections: number;
  /** How many idle connections the memory part opens. */
  readonly idle: number;
  readonly parts: readonly PartName[];
  readonly peers: readonly PeerName[];
  /** Whether every gateway that is installed takes part: only then are the results written. */
  readonly whole: boolean;
  readonly profile: boolean;
}

/** Reads the command line. Ends the process where an option is wrong or the machine cannot run the bench. */
export function readOptions(): Options {
  const { values } = parse();
  const idle = readCount('idle', values.idle ?? '1000', 5_000);
  const parts = readParts(values.part, values.idle !== undefined);
  checkMachine(parts, idle);
  return {
    rounds: readCount('rounds', values.rounds, 50),
    requests: readCount('requests', values.requests, 200_000),
    connections: readCount('connections', values.connections, 1_000),
    idle,
    parts,
    peers: choosePeers(values.only),
    whole: values.only === undefined,
    profile: values.profile,
  };
}

function parse() {
  try {
    return parseArgs({
      options: {
        rounds: { type: 'string', default: '5' },
        requests: { type: 'string', default: '20000' },
        connections: { type: 'string', default: '32' },
        idle: { type: 'string' },
        part: { type: 'string' },
        only: { type: 'string' },
        profile: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return fail((error as Error).message);
  }
}

function readCount(name: string, text: string, limit: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= limit) return count;
  return fail(`--${name}: a whole number from 1 to ${limit}, not ${text}`);
}

/** `--idle` alone means the memory part alone. */
function readParts(text: string | undefined, idle: boolean): readonly PartName[] {
  if (text === undefined) return idle ? ['memory'] : PART_NAMES;
  return text.split(',').map((word) => {
    const part = PART_NAMES.find((name) => name === word);
    return part ?? fail(`--part: one or more of ${PART_NAMES.join(',')}, not ${word}`);
  });
}

function checkMachine(parts: readonly PartName[], idle: number): void {
  if (process.platform !== 'linux' || availableParallelism() < 2 || !hasProgram('taskset'))
    fail('the bench needs Linux, two cores and taskset (util-linux): it reads /proc and pins processes', 1);
  if (!hasProgram('nginx')) fail('the bench needs nginx as the upstream: apt-get install nginx', 1);
  const wanted = Math.max(
    parts.includes('memory') ? idle : 0,
    parts.includes('growth') ? GROWTH_CONNECTIONS : 0,
  );
  const files = 2 * wanted + SPARE_FILES;
  if (wanted > 0 && readFileLimit() < files)
    fail(`open files are limited to ${readFileLimit()}: run "ulimit -n ${files}" first`, 1);
}

/** Those that are installed; of the others it says what would bring them. */
function choosePeers(only: string | undefined): readonly PeerName[] {
  const wanted = PEER_NAMES.filter((name) => only === undefined || only === name);
  if (wanted.length === 0) return fail(`--only: one of ${PEER_NAMES.join(', ')}, not ${only}`);
  const missing = wanted.filter((name) => !PEERS[name].isInstalled());
  for (const name of missing) console.error(`going on without ${PEERS[name].title}: ${PEERS[name].install}`);
  if (missing.includes('haproxy')) console.error('without HAProxy there are no ratios to it');
  const installed = wanted.filter((name) => !missing.includes(name));
  return installed.length > 0 ? installed : fail(`${only} is not installed`, 1);
}

function fail(sentence: string, exitCode = 2): never {
  console.error(sentence);
  process.exit(exitCode);
}
