import { MOST_ADMIN_CONNECTIONS } from '../../admin/server.ts';
import type { Settings } from '../../settings.ts';

/** Log, state, the runtime's own, files that are read at a reload, name lookups: about 30 were seen, and some to spare. */
const OWN_FILES = 48;

/** For how many connections of senders there are file descriptors. */
export interface Room {
  /** Infinite where the system's limit is not known. */
  readonly connections: number;
  /** What to tell the operator, where the configuration asks for more. */
  readonly warning: string | undefined;
}

/**
 * How many files the system lets this process open; `undefined`: it does not say, or there is no limit. Node has
 * raised the soft limit to the hard one when this is read. The report needs no right to read files, as /proc would.
 */
export function readOpenFileLimit(): number | undefined {
  const report = process.report as NodeJS.ProcessReport & { excludeNetwork: boolean };
  const before = report.excludeNetwork;
  // Naming the ends of connections would look up names.
  report.excludeNetwork = true;
  const { userLimits } = report.getReport() as { userLimits?: Record<string, { soft?: unknown }> };
  report.excludeNetwork = before;
  const soft = Number(userLimits?.open_files?.soft);
  return Number.isSafeInteger(soft) ? soft : undefined;
}

/**
 * Holds back what requests need beside their sender's connection: without a descriptor for the upstream, for the log or
 * for the state, a full house would fail those who are in. Upstreams get at most half: then each sender has one too.
 */
export function roomFor({ limits, upstreams }: Settings, openFiles: number | undefined): Room {
  if (openFiles === undefined) return { connections: Number.POSITIVE_INFINITY, warning: undefined };
  const left = openFiles - OWN_FILES - MOST_ADMIN_CONNECTIONS;
  let wanted = 0;
  for (const { connections, targets } of upstreams.values()) wanted += connections * targets.length;
  const connections = Math.max(1, left - Math.min(wanted, Math.floor(left / 2)));
  if (connections >= limits.connections) return { connections, warning: undefined };
  return {
    connections,
    warning: `limits.connections: the system allows ${openFiles} open files, which leaves room for ${connections} connections of the ${limits.connections} asked for; raise it (LimitNOFILE of systemd, ulimit -n), or lower limits.connections`,
  };
}
