import type { UpstreamSettings } from '../settings.ts';
import { readSection, readValue } from './issues.ts';
import { NAME } from './names.ts';
import type { Report } from './problems.ts';
import { isMapping, upstreamSchema, upstreamText } from './schema.ts';
import { loadUpstreamTls, type Watched } from './tls.ts';

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
  const { targets, connect_timeout: connectTimeoutMs, late: lateMs, connections } = values;
  if (!section.right('timeout', 'tls', 'headers') || tls === false) return undefined;
  if (
    targets === undefined ||
    connectTimeoutMs === undefined ||
    lateMs === undefined ||
    connections === undefined
  ) {
    return undefined;
  }
  const headers = (values.headers ?? []).flatMap((field) => [field.name, field.value]);
  return { name, targets, timeoutMs: values.timeout, connectTimeoutMs, lateMs, connections, tls, headers };
}
