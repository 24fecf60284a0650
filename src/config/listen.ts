import { isIPv4 } from 'node:net';
import type { z } from 'zod';
import type { AdminSettings } from '../settings.ts';
import { readSection, readValue } from './issues.ts';
import type { Report } from './problems.ts';
import { adminFalse, adminSchema, isMapping, listenSchema } from './schema.ts';

/**
 * Where one port can be bound several times and the system spreads the connections (libuv's UV_TCP_REUSEPORT); Node
 * fails to listen anywhere else. https://nodejs.org/api/net.html#serverlistenoptions-callback
 */
const SHARING_PLATFORMS: readonly string[] = ['aix', 'dragonfly', 'freebsd', 'linux', 'sunos'];

type ListenInput = Partial<z.output<typeof listenSchema>>;

/** Where senders connect: what is right of it. */
export function loadListen(given: unknown, report: Report): ListenInput {
  const section = readSection(listenSchema, given === undefined ? {} : given, ['listen'], report);
  const { port, reuse_port: isShared } = section.values;
  if (isShared && port === 0) {
    report.add(
      ['listen', 'port'],
      'reuse_port shares one port, and 0 gives each process another; write the port out',
    );
  }
  if (isShared && !SHARING_PLATFORMS.includes(process.platform)) {
    report.add(
      ['listen', 'reuse_port'],
      `several processes cannot share a port on ${process.platform}; remove it, or run on Linux or FreeBSD`,
    );
  }
  checkProxies(section.values, report);
  return section.values;
}

/** Who says where a sender is: its own connection, a PROXY header or X-Forwarded-For, and never two of them. */
function checkProxies(values: ListenInput, report: Report): void {
  const { proxy_protocol: isProxied, forwarded_for: isForwarded, trusted_proxies: trusted = [] } = values;
  if (isProxied && isForwarded) {
    report.add(
      ['listen', 'forwarded_for'],
      'never together with proxy_protocol: a load balancer that passes TLS through cannot see X-Forwarded-For, so the sender would write it; remove one of the two',
    );
  }
  const key = isProxied ? 'proxy_protocol' : 'forwarded_for';
  if ((isProxied || isForwarded) && trusted.length === 0 && values.trusted_proxies !== undefined) {
    report.add(
      ['listen', key],
      `believes nobody without trusted_proxies; list the load balancer's addresses there`,
    );
  }
}

/** The admin listener. @returns `undefined` when a part of it was reported as wrong */
export function loadAdmin(
  given: unknown,
  listen: ListenInput,
  report: Report,
): AdminSettings | false | undefined {
  if (given !== undefined && !isMapping(given)) return readValue(adminFalse, given, ['admin'], report);
  const section = readSection(adminSchema, given ?? {}, ['admin'], report);
  const { address, port, token } = section.values;
  if (address === undefined || port === undefined) return undefined;
  if (section.right('token') && token === undefined && !isLoopback(address)) {
    report.add(
      ['admin', 'token'],
      `is missing: ${report.source.show(['admin', 'address'])} can be reached from other machines; give token: "\${ADMIN_TOKEN}", or listen on 127.0.0.1`,
    );
  }
  const wildcard = listen.address === '0.0.0.0' || listen.address === '::';
  if (port !== 0 && port === listen.port && (wildcard || address === listen.address)) {
    report.add(
      ['admin', 'port'],
      `the gateway listens on port ${report.source.show(['admin', 'port'])} too; give one of the two another port`,
    );
  }
  return { address, port, token };
}

function isLoopback(address: string): boolean {
  return address === 'localhost' || address === '::1' || (isIPv4(address) && address.startsWith('127.'));
}
