import { resolve } from 'node:path';
import type { z } from 'zod';
import type { Limits, RouteSettings, Settings, UpstreamSettings } from '../settings.ts';
import { type FileNotes, readDocument } from './document.ts';
import { type Expiry, expiriesOf } from './expiry.ts';
import { inheriting } from './inherit.ts';
import { type Partly, readSection, unknownKey } from './issues.ts';
import { loadAdmin, loadListen } from './listen.ts';
import { ConfigError, type Report } from './problems.ts';
import { loadRoutes } from './routes.ts';
import { configurationSchema, isMapping, limitsSchema, logSchema, tlsSchema } from './schema.ts';
import { createShelf } from './shelf.ts';
import { showConfiguration } from './show.ts';
import { loadState } from './state.ts';
import { loadTls, type Watched } from './tls.ts';
import { type Unused, unusedOf } from './unused.ts';
import { loadUpstreams } from './upstreams.ts';
import { warningsOf } from './warnings.ts';

/** A configuration that can be used, and what is legal in it but unwise. */
export interface Configuration {
  readonly settings: Settings;
  /** Sentences for `postern check`. */
  readonly warnings: readonly string[];
  /** What ends by itself: certificates and revocation lists. */
  readonly expiries: readonly Expiry[];
  /** What has no effect. */
  readonly unused: Unused;
}

/**
 * Reads a configuration file and everything it names: certificates, keys, secrets, sender profiles.
 * @param file as the user names it; it stands so in front of every problem
 * @param files where every file that is read, or looked for, is noted, also when it throws
 * @throws {ConfigError} with every mistake as `file:line:column path: what is wrong, what would be right`
 */
export function loadConfig(
  file: string,
  env: NodeJS.ProcessEnv = process.env,
  files: FileNotes = new Map(),
): Configuration {
  const document = readDocument(file, env, files);
  if (!isMapping(document.source.value)) {
    document.add([], `expected a mapping with tls, upstreams and routes, got ${document.source.show([])}`);
    throw new ConfigError(document.lines());
  }
  const report = inheriting(document);
  const root = report.source.value as Readonly<Record<string, unknown>>;
  const known = Object.keys(configurationSchema.shape);
  for (const key of Object.keys(root)) {
    if (!known.includes(key)) report.add([key], unknownKey(key, known), 'key');
  }
  const watched: Watched[] = [];
  const shelf = createShelf(report);
  const listen = loadListen(root.listen, report);
  const admin = loadAdmin(root.admin, listen, report);
  const tlsSection = readSection(tlsSchema, root.tls, ['tls'], report);
  const tls = loadTls(tlsSection, root.tls, report, watched);
  const limits = loadLimits(root, report);
  const state = loadState(root, listen.reuse_port === true, report, watched);
  const log = optionalSection(logSchema, 'log', root, report).values;
  const upstreams = loadUpstreams(root.upstreams, report, watched);
  const routes = loadRoutes(
    root.routes,
    {
      limits,
      tls: tls.entrances,
      upstreams,
      senders: shelf,
      driver: state?.driver,
    },
    report,
  );
  const problems = [...report.lines(), ...shelf.problems];
  if (problems.length > 0) throw new ConfigError(problems);
  const parts: Omit<Settings, 'shown'> = {
    file: resolve(file),
    listen: {
      address: sure(listen.address),
      port: sure(listen.port),
      reusePort: sure(listen.reuse_port),
      proxyProtocol: sure(listen.proxy_protocol),
      trustedProxies: [...new Set(sure(listen.trusted_proxies))],
      forwardedFor: sure(listen.forwarded_for),
    },
    admin: sure(admin),
    tls: sure(tls.settings),
    limits: sure(limits),
    state: sure(state),
    log: {
      level: sure(log.level),
      destination:
        log.destination === 'stdout' ? 'stdout' : resolve(report.source.folder, sure(log.destination)),
    },
    upstreams: allOf(upstreams),
    routes: Object.freeze(routes.map((route): RouteSettings => sure(route))),
  };
  let shown: Settings['shown'] | undefined;
  const settings: Settings = Object.freeze({
    ...parts,
    // Made when it is asked for: most runs show it to nobody.
    get shown() {
      shown ??= showConfiguration(root, parts, report.source, watched);
      return shown;
    },
  });
  return {
    settings,
    warnings: warningsOf(settings, root, report, watched),
    expiries: expiriesOf(watched),
    unused: unusedOf(settings, report, files),
  };
}

/** With nothing reported, everything is there; if not, a rule forgot to say what it refused. */
function sure<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error('a part of the configuration was refused without a reason');
  return value;
}

function allOf(
  upstreams: ReadonlyMap<string, UpstreamSettings | undefined>,
): ReadonlyMap<string, UpstreamSettings> {
  return new Map([...upstreams].map(([name, upstream]) => [name, sure(upstream)]));
}

/** A section that may be left out whole. */
function optionalSection<Schema extends z.ZodObject>(
  schema: Schema,
  key: string,
  root: Readonly<Record<string, unknown>>,
  report: Report,
): Partly<z.output<Schema>> {
  return readSection(schema, root[key] === undefined ? {} : root[key], [key], report);
}

function loadLimits(root: Readonly<Record<string, unknown>>, report: Report): Limits | undefined {
  const section = optionalSection(limitsSchema, 'limits', root, report);
  const { values } = section;
  if (
    values.body !== undefined &&
    values.buffered_bodies !== undefined &&
    values.body > values.buffered_bodies
  ) {
    const where =
      isMapping(root.limits) && Object.hasOwn(root.limits as object, 'body') ? 'body' : 'buffered_bodies';
    report.add(
      ['limits', where],
      'body is more than buffered_bodies, so no such body would ever be let in; lower body, or raise buffered_bodies',
    );
  }
  if (!section.right(...(Object.keys(limitsSchema.shape) as (keyof typeof values)[]))) return undefined;
  const input = values as z.output<typeof limitsSchema>;
  return {
    body: input.body,
    bufferedBodies: input.buffered_bodies,
    connections: input.connections,
    connectionsPerAddress: input.connections_per_address,
    eventLoopDelay: input.event_loop_delay,
    handshakeTimeout: input.handshake_timeout,
    headerTimeout: input.header_timeout,
    bodyTimeout: input.body_timeout,
    idleTimeout: input.idle_timeout,
    drainDelay: input.drain_delay,
    drainTimeout: input.drain_timeout,
  };
}
