import type { UpstreamSettings } from '../settings.ts';
import type { Path } from './document.ts';
import { readSection, readValue } from './issues.ts';
import { NAME } from './names.ts';
import { type Report, suggestion } from './problems.ts';
import { isMapping, type UpstreamInput } from './schema.ts';
import type { Watched } from './tls.ts';
import { ejectSchema, upstreamSchema, upstreamText } from './upstream-schema.ts';
import { loadUpstreamTls } from './upstream-tls.ts';

/**
 * Reads every upstream.
 * @returns by name; `undefined` stands for one that is there but was reported as wrong
 */
export function loadUpstreams(
  value: unknown,
  report: Report,
  watched: Watched[],
): ReadonlyMap<string, UpstreamSettings | undefined> {
  const upstreams = new Map<string, UpstreamSettings | undefined>();
  if (value === undefined || value === null || !isMapping(value)) {
    const got =
      value === undefined
        ? 'is missing'
        : value === null
          ? 'is empty'
          : `expected a mapping, got ${report.source.show(['upstreams'])}`;
    report.add(['upstreams'], `${got}; give upstreams by name, such as ledger: http://127.0.0.1:9000`);
    return upstreams;
  }
  for (const [name, given] of Object.entries(value as object)) {
    if (!NAME.test(name)) {
      report.add(['upstreams', name], 'a name is letters, digits, ".", "_" and "-", such as ledger', 'key');
    }
    upstreams.set(name, loadUpstream(name, given, report, watched));
  }
  if (upstreams.size === 0)
    report.add(['upstreams'], 'is empty; give at least one, such as ledger: http://127.0.0.1:9000');
  return upstreams;
}

/** The upstream that somebody names. @returns `undefined` when there is none, or it is wrong: reported */
export function findUpstream(
  name: string,
  upstreams: ReadonlyMap<string, UpstreamSettings | undefined>,
  path: Path,
  report: Report,
): UpstreamSettings | undefined {
  if (!upstreams.has(name) && upstreams.size > 0)
    report.add(
      path,
      `there is no upstream ${report.source.show(path)}; ${suggestion(name, [...upstreams.keys()])}`,
    );
  return upstreams.get(name);
}

function loadUpstream(
  name: string,
  given: unknown,
  report: Report,
  watched: Watched[],
): UpstreamSettings | undefined {
  const path = ['upstreams', name];
  const short = !isMapping(given);
  if (short && readValue(upstreamText, given, path, report) === undefined) return undefined;
  const section = readSection(upstreamSchema, short ? { targets: [given] } : given, path, report);
  const { values } = section;
  let tls: UpstreamSettings['tls'] | false;
  if (values.tls !== undefined) {
    tls = loadUpstreamTls(values.tls, [...path, 'tls'], report, watched);
    if (
      values.targets !== undefined &&
      !values.targets.some((target) => target.origin.startsWith('https:'))
    ) {
      report.add(
        [...path, 'tls'],
        'tls is for https targets, and this upstream has none; write https:// or remove tls',
        'key',
      );
    }
  }
  if (!section.right(...(Object.keys(upstreamSchema.shape) as (keyof typeof values)[])) || tls === false)
    return undefined;
  const input = values as UpstreamInput;
  const { targets, connections, health } = input;
  const eject = input.eject ?? ejectSchema.parse({});
  return {
    name,
    targets,
    timeoutMs: input.timeout,
    connectTimeoutMs: input.connect_timeout,
    lateMs: input.late,
    connections,
    concurrency: input.concurrency ?? connections * targets.length,
    waiting: input.waiting,
    waitMs: input.wait,
    eject: { failures: eject.failures, durationMs: eject.duration },
    health: health && { path: health.path, intervalMs: health.interval, timeoutMs: health.timeout },
    tls,
    headers: (input.headers ?? []).flatMap((field) => [field.name, field.value]),
  };
}
