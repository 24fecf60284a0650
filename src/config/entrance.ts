import type { SenderProfile } from '../sender-profile.ts';
import type { Limits, UpstreamSettings } from '../settings.ts';
import type { StateSettings } from '../state-settings.ts';
import type { Path } from './document.ts';
import type { Partly } from './issues.ts';
import { addressesGiven, reportedOf } from './modes.ts';
import type { Report } from './problems.ts';
import type { RouteInput } from './schema.ts';
import type { SenderShelf } from './shelf.ts';
import type { TlsEntrance } from './tls.ts';

/** What routes refer to; `undefined` stands for what was reported as wrong already. */
export interface Surrounding {
  readonly limits: Limits | undefined;
  readonly tls: readonly TlsEntrance[];
  readonly upstreams: ReadonlyMap<string, UpstreamSettings | undefined>;
  readonly senders: SenderShelf;
  readonly driver: StateSettings['driver'] | undefined;
}

/**
 * Closed unless opened: the rules of who may come in that no single key can break (DESIGN section 3).
 * @param senderKnown whether it is certain which profile, if any, the route has
 */
export function checkEntrance(
  section: Partly<RouteInput>,
  sender: SenderProfile | undefined,
  senderKnown: boolean,
  path: Path,
  around: Surrounding,
  report: Report,
): void {
  const { values } = section;
  if (senderKnown && section.right('addresses') && isOpenWithoutAWord(values, sender)) {
    const why = sender === undefined ? '' : `, and the sender ${sender.name} has none of its own`;
    report.add(
      [...path, 'addresses'],
      `is missing${why}; list the addresses that may send, or write "addresses: any" to let in all`,
    );
  }
  const given = addressesGiven(values.addresses) ?? [];
  if (given.includes('any') && given.length > 1) {
    report.add(
      [...path, 'addresses', ...(Array.isArray(values.addresses) ? [] : ['list']), given.indexOf('any')],
      'any beside other addresses opens to all; write "addresses: any", or remove it',
    );
  }
  checkIdentity(section, path, around, report);
  if (section.right('certificate')) checkCertificate(values, sender, path, around, report);
}

function isOpenWithoutAWord(values: Partial<RouteInput>, sender: SenderProfile | undefined): boolean {
  return addressesGiven(values.addresses) === undefined && sender?.addresses === undefined;
}

function checkIdentity(section: Partly<RouteInput>, path: Path, { tls }: Surrounding, report: Report): void {
  const { certificate, authorization, signature, unsafe_open: open } = section.values;
  if (!section.right('certificate', 'authorization', 'signature', 'unsafe_open') || open === true) return;
  const reported = reportedOf(section.values);
  const asked = {
    certificate: certificate !== 'none',
    authorization: authorization !== undefined,
    signature: signature !== undefined,
  };
  const names = (['certificate', 'authorization', 'signature'] as const).filter((name) => asked[name]);
  const [first] = names;
  if (first !== undefined) {
    if (names.some((name) => !reported.includes(name))) return;
    const entrances = entrancesTo(section.values.host, tls);
    // What the handshake proves, a certificate of an authority of one's own, it proves in any mode.
    if (first === 'certificate' && entrances.every(isClosed)) return;
    report.add(
      [...path, first, 'mode'],
      `what would prove who the sender is only reports (${names.join(', ')}), so everybody may come in; write "mode: enforce" at one of them, or "unsafe_open: true" if that is meant meanwhile`,
    );
    return;
  }
  report.add(
    [...path, 'certificate'],
    'nothing on this route proves who the sender is; add authorization or signature, remove "certificate: none", or write "unsafe_open: true" if everybody may come in',
  );
}

function checkCertificate(
  { certificate, host, sender: name }: Partial<RouteInput>,
  sender: SenderProfile | undefined,
  path: Path,
  { tls }: Surrounding,
  report: Report,
): void {
  const where = certificate === undefined ? path : [...path, 'certificate'];
  const entrances = entrancesTo(host, tls);
  const publicRoot = entrances.find((entrance) => entrance.publicRoot !== undefined)?.publicRoot;
  const asksForAny = certificate === undefined || (certificate !== 'none' && certificate.asks === 'any');
  if (asksForAny && publicRoot !== undefined && sender?.clientCertificate !== false) {
    report.add(
      [...path, 'certificate'],
      `tls.client_ca holds a public root (${publicRoot}), so anybody who buys a certificate would pass; give names, fingerprints or public_keys here`,
    );
  }
  if (sender?.clientCertificate !== false || name === undefined) return;
  if (certificate !== 'none') {
    report.add(
      where,
      `the sender ${name} has no client certificate and could never come in; write "certificate: none"`,
    );
  }
  if (entrances.length > 0 && entrances.every((entrance) => entrance.clientCertificate === 'required')) {
    report.add(
      [...path, 'sender'],
      `the sender ${name} has no client certificate, and tls.client_certificate is required; write "client_certificate: optional" under tls`,
    );
  }
}

function isClosed({ clientCertificate, publicRoot }: TlsEntrance): boolean {
  return clientCertificate === 'required' && publicRoot === undefined;
}

/** The handshakes after which a request for this host may come; without a host, all. */
export function entrancesTo(host: string | undefined, all: readonly TlsEntrance[]): readonly TlsEntrance[] {
  if (host === undefined) return all;
  const named = all.filter(({ names }) => names.includes(host));
  return named.length > 0 ? named : all.filter(({ names }) => names.length === 0);
}
