import { addressSet, parseAddress, parseRange } from '../addresses.ts';
import { answerDeadlineMs } from '../deadline.ts';
import { provingChecks } from '../proof.ts';
import type { RouteSettings, Settings, UpstreamSettings } from '../settings.ts';
import type { StateSettings } from '../state-settings.ts';
import type { AddressValue } from '../types.ts';
import { toldTogether } from './alike.ts';
import { ofClients } from './client-warnings.ts';
import { uncoveredAuthorities } from './crl.ts';
import { expiriesOf, expiryWarning } from './expiry.ts';
import { modeWarnings, waitWarnings } from './modes.ts';
import { subjectOf } from './pem.ts';
import type { Report } from './problems.ts';
import { ofQuarantine } from './quarantine.ts';
import { ofRouteSecrets, ofSecret, ofSharedSecrets } from './secret-warnings.ts';
import type { Watched } from './tls.ts';
import { unusedUpstreams } from './unused.ts';

/**
 * What is legal but unwise, each as `where: sentence`. Never holds a secret.
 * @param root the values of the file, for what the settings no longer tell
 */
export function warningsOf(
  settings: Settings,
  root: Readonly<Record<string, unknown>>,
  report: Report,
  watched: readonly Watched[],
): readonly string[] {
  const { limits, admin } = settings;
  const warnings = [...watched.flatMap(ofFiles), ...report.warnings(), ...ofProxies(settings)];
  if (limits.drainDelay >= limits.drainTimeout) {
    warnings.push(
      'limits.drain_delay: takes up the whole drain_timeout, so no request in flight could finish; make it shorter',
    );
  }
  if (admin !== false && admin.token !== undefined) warnings.push(...ofSecret('admin.token', admin.token));
  warnings.push(...ofSharedPort(settings, report.source.isSubstituted(['admin', 'port'])));
  for (const name of unusedUpstreams(settings)) warnings.push(`upstreams.${name}: no route uses it`);
  const upstreams = root.upstreams as Readonly<Record<string, unknown>>;
  for (const upstream of settings.upstreams.values()) {
    const given = Object(upstreams[upstream.name]) as object;
    const sentences = ofUpstream(upstream, Object.hasOwn(given, 'eject'));
    warnings.push(...sentences.map((sentence) => `upstreams.${upstream.name}.${sentence}`));
  }
  const labelOf = (index: number): string =>
    `routes[${index}] ${report.source.show(['routes', index, 'name']).replaceAll('"', '')}`;
  const raw = Array.isArray(root.routes) ? root.routes : [];
  for (const [index, route] of settings.routes.entries()) {
    const label = labelOf(index);
    const unsafeOpen =
      Object.hasOwn(raw[index] as object, 'unsafe_open') && String(raw[index].unsafe_open) === 'true';
    const key = queueing(route);
    if (key !== undefined && settings.state.driver === 'memory') {
      warnings.push(
        `${label}: ${key}: queue with state.driver memory acknowledges events that end with the process; write driver: sqlite`,
      );
    }
    const sentences = [
      ...ofRoute(route, unsafeOpen),
      ...ofClients(route),
      ...ofStateLoss(route, settings.state),
      ...ofQuarantine(route.quarantine, settings.state),
    ];
    warnings.push(...sentences.map((sentence) => `${label}: ${sentence}`));
  }
  warnings.push(...ofSharedSecrets(settings.routes, labelOf));
  return toldTogether(warnings);
}

/** The key by which a route acknowledges events from its queue; `undefined`: it does not. */
function queueing({ deliver, late }: RouteSettings): 'deliver' | 'late' | undefined {
  if (deliver === 'queue') return 'deliver';
  return late === 'queue' ? 'late' : undefined;
}

/** What several processes on one port do not do together. */
function ofSharedPort({ listen, admin, routes, state }: Settings, ownAdminPort: boolean): string[] {
  if (!listen.reusePort) return [];
  const apart = ['limits and metrics are of one process each'];
  if (state.driver !== 'redis' && routes.some((route) => route.rateLimits.length > 0))
    apart.unshift('N processes let in N times each rate_limit (with driver: redis they share it)');
  const warnings = [
    `listen.reuse_port: processes that share the port share their state alone: ${apart.join('; ')}`,
  ];
  if (admin !== false && admin.port !== 0 && !ownAdminPort) {
    warnings.push(
      `admin.port: ${admin.port} in every process that shares the port, so a second cannot start; write port: "\${ADMIN_PORT}" and set it for each`,
    );
  }
  return warnings;
}

function ofStateLoss({ onStateLoss }: RouteSettings, { driver }: StateSettings): string[] {
  if (onStateLoss === 'refuse' || driver === 'redis') return [];
  return [`on_state_loss: has a meaning with "driver: redis" only, and the state is ${driver}; remove it`];
}

function ofUpstream(upstream: UpstreamSettings, ejectGiven: boolean): string[] {
  const { targets, connections, concurrency, connectTimeoutMs, timeoutMs } = upstream;
  const warnings: string[] = [];
  const most = connections * targets.length;
  if (concurrency > most) {
    warnings.push(
      `concurrency: ${concurrency} has no effect, since there are ${most} connections (connections x targets); lower it, or raise connections`,
    );
  }
  if (ejectGiven && targets.length === 1) {
    warnings.push(
      'eject: with one target requests go to it whatever is thought of it; remove eject, or add a target',
    );
  }
  if (targets.length > 1 && timeoutMs !== undefined && connectTimeoutMs >= timeoutMs) {
    warnings.push(
      'connect_timeout: takes up the whole timeout, so a request that finds one target unreachable has no time for another; make it shorter',
    );
  }
  return warnings;
}

function ofFiles(watched: Watched): string[] {
  const { what, certificates, keyFile, names = [], crls = [], authorities = [] } = watched;
  const nowMs = Date.now();
  const warnings = expiriesOf([watched]).flatMap((expiry) => expiryWarning(expiry, nowMs) ?? []);
  for (const [index, certificate] of certificates.entries()) {
    const issuer = certificates[index + 1];
    if (keyFile !== undefined && issuer !== undefined && !certificate.checkIssued(issuer)) {
      warnings.push(
        `${what}: certificate ${index + 1} of ${certificates.length} (${subjectOf(certificate)}) was not issued by the one that follows it; put the chain in order, each before its issuer`,
      );
    }
  }
  for (const name of names) {
    if (certificates[0]?.checkHost(name) === undefined)
      warnings.push(
        `${what}: the certificate is not for ${name}, so clients that ask for it will not believe it`,
      );
  }
  for (const authority of uncoveredAuthorities(authorities, crls)) {
    warnings.push(
      `${what}: no list is of ${authority}, so every client whose certificate it issued is refused; add its list`,
    );
  }
  return warnings;
}

/** Who may speak for a sender's address. */
function ofProxies({ listen, routes }: Settings): string[] {
  const { proxyProtocol, forwardedFor, trustedProxies } = listen;
  const warnings: string[] = [];
  if (trustedProxies.length > 0 && !proxyProtocol && !forwardedFor)
    warnings.push('listen.trusted_proxies: has no effect without proxy_protocol or forwarded_for');
  if (trustedProxies.some((network) => network.endsWith('/0')))
    warnings.push('listen.trusted_proxies: trusts every address, so any sender may claim to be another');
  if (forwardedFor)
    warnings.push(
      'listen.forwarded_for: the client certificate is the one of the load balancer; only what it lets in can be told apart by address',
    );
  const isLoopback = addressSet(['127.0.0.0/8', '::1']);
  const own = parseAddress(listen.address);
  const fromElsewhere = routes.some(
    ({ addresses }) => addresses !== 'any' && addresses.some((entry) => !isLoopback(firstOf(entry))),
  );
  if (own !== undefined && isLoopback(own) && fromElsewhere && !proxyProtocol && !forwardedFor) {
    warnings.push(
      `listen.address: ${listen.address} is reached from this machine only, and routes list addresses of others; behind a load balancer give proxy_protocol (or forwarded_for) and trusted_proxies`,
    );
  }
  return warnings;
}

function firstOf(entry: string): AddressValue {
  return parseRange(entry)?.first ?? 0;
}

function ofRoute(route: RouteSettings, unsafeOpen: boolean): string[] {
  const warnings = [...ofRouteSecrets(route), ...modeWarnings(route), ...waitWarnings(route)];
  const { sender, upstream, signature, certificate } = route;
  const isOpen = provingChecks(route).length === 0;
  if (unsafeOpen) {
    warnings.push(
      isOpen
        ? 'unsafe_open: anybody may send, nothing proves who it is'
        : 'unsafe_open has no effect here; remove it',
    );
  }
  if (route.addresses === 'any' && certificate === 'none') {
    warnings.push(
      'addresses: any with certificate: none lets every machine on the internet try its credentials',
    );
  }
  if (sender?.signature !== undefined && signature === undefined) {
    warnings.push(
      `the sender ${sender.name} signs its events, but the route has no signature to check; without it duplicates are not recognised either`,
    );
  }
  if (sender !== undefined && sender.signature === undefined && signature !== undefined) {
    warnings.push(
      `the sender ${sender.name} does not sign, so a route with a signature refuses all it sends`,
    );
  }
  const leftMs = answerDeadlineMs(sender);
  const waits = queueing(route) === undefined;
  if (waits && sender !== undefined && upstream.timeoutMs !== undefined && upstream.timeoutMs > leftMs) {
    warnings.push(
      `the upstream ${upstream.name} may take ${upstream.timeoutMs / 1000}s, but ${sender.name} leaves ${leftMs / 1000}s; the sender gets 504 before that`,
    );
  }
  if (route.late === 'queue' && upstream.lateMs === 0) {
    warnings.push(
      `late: queue cuts off what the upstream ${upstream.name} has taken, since its late is 0s, and delivers it once more; give it a time to run on`,
    );
  }
  if (certificate === 'none' && route.rateLimits.some((limit) => limit.key.by === 'certificate')) {
    warnings.push(
      'rate_limit by certificate with certificate: none counts all senders together; write by: address',
    );
  }
  return warnings;
}
