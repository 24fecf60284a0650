import { hash } from 'node:crypto';
import type { TlsHost, TlsSettings } from '../tls-settings.ts';

/** Whose client certificates are believed at one host. */
export interface Trust {
  /** The host's first name; empty for the default. */
  readonly host: string;
  /** The same for two hosts, or before and after a reload, only where the same clients are believed in the same way. */
  readonly id: string;
  readonly settings: TlsHost;
}

/** Finds what a name (SNI, or a Host field) stands for. */
export type FindTrust = (name: string) => Trust;

/** Names that no host has stand for the default. */
export function trustFinder(tls: TlsSettings): FindTrust {
  const standard = trustOf(tls, '', tls);
  const named = new Map<string, Trust>();
  for (const host of tls.hosts) {
    const trust = trustOf(host, host.names[0] ?? '', tls);
    for (const name of host.names) named.set(name, trust);
  }
  return (name) => named.get(name) ?? standard;
}

/** Whether every name is judged alike, so that a client let in under one may speak for any other. */
export function isOneTrust(tls: TlsSettings): boolean {
  const find = trustFinder(tls);
  return tls.hosts.every(({ names }) => names.every((name) => find(name).id === find('').id));
}

function trustOf(settings: TlsHost, host: string, { clientCrlExpired }: TlsSettings): Trust {
  const { clientCa, clientCrl, clientCertificate } = settings;
  const lists = clientCrl.map(({ pem }) => pem).sort();
  const judged = [[...clientCa].sort(), lists, lists.length > 0 && clientCrlExpired, clientCertificate];
  return { host, id: hash('sha256', JSON.stringify(judged)), settings };
}
