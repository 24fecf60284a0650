import { hash, type X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { parseAddress, withoutZoneAndMapping } from '../addresses.ts';
import type { Reason } from '../reasons.ts';
import type { Certificate, Peer } from '../types.ts';

const LONGEST_CHAIN = 10;

/**
 * The facts of a connection, read once: reading the certificate costs more than all else a request needs.
 * @param keepsDer whether the certificates themselves are kept, for routes that hand them on
 */
export function identify(socket: TLSSocket, remoteAddress: string, keepsDer: boolean): Peer {
  const leaf = socket.getPeerX509Certificate();
  const address = withoutZoneAndMapping(remoteAddress);
  const vouchedFor = leaf !== undefined && socket.authorized;
  return {
    address,
    addressValue: parseAddress(address) ?? 0,
    certificate: vouchedFor ? certificateFacts(leaf, socket.getPeerCertificate(true), keepsDer) : undefined,
    certificateError: vouchedFor
      ? undefined
      : certificateReason(leaf !== undefined, socket.authorizationError),
  };
}

/** The reason for OpenSSL's word on a chain that did not verify. */
export function certificateReason(presented: boolean, error: unknown): Reason {
  if (!presented) return 'certificate.missing';
  const code = typeof error === 'string' ? error : ((error as { code?: string } | undefined)?.code ?? '');
  if (code === 'CERT_HAS_EXPIRED') return 'certificate.expired';
  return code === 'CERT_REVOKED' ? 'certificate.revoked' : 'certificate.untrusted';
}

function certificateFacts(
  leaf: X509Certificate,
  detailed: DetailedPeerCertificate,
  keepsDer: boolean,
): Certificate {
  const issuers = issuersOf(detailed);
  const between = issuers.filter((issuer) => !isSelfIssued(issuer));
  const validTo = [leaf.validTo, ...issuers.map((issuer) => issuer.valid_to)];
  return {
    subject: subjectOf(leaf),
    names: namesOf(leaf, detailed),
    fingerprint: `sha256:${hash('sha256', leaf.raw)}`,
    publicKey: `sha256:${hash('sha256', leaf.publicKey.export({ type: 'spki', format: 'der' }))}`,
    notAfterMs: Math.min(...validTo.map((date) => Date.parse(date))),
    der: keepsDer ? { leaf: leaf.raw, issuers: between.map((issuer) => issuer.raw) } : undefined,
  };
}

/** Node has no text for an empty subject, as SPIFFE certificates have it, though its types say so. */
function subjectOf({ subject }: { subject: string | undefined }): string {
  return subject?.replaceAll('\n', ',') ?? '';
}

/** The leaf's issuer first; a root is its own issuer, which is where the walk ends. */
function issuersOf(leaf: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const issuers: DetailedPeerCertificate[] = [];
  let current = leaf;
  while (issuers.length < LONGEST_CHAIN) {
    const issuer = current.issuerCertificate;
    if (issuer === undefined || issuer === current || issuer.raw.equals(current.raw)) break;
    issuers.push(issuer);
    current = issuer;
  }
  return issuers;
}

function isSelfIssued({ issuerCertificate, raw }: DetailedPeerCertificate): boolean {
  return issuerCertificate?.raw.equals(raw) ?? false;
}

/** Node quotes a name that holds a separator, so that one name cannot pose as two. */
const ALTERNATIVE_NAME =
  /(DNS|URI|email):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)|[^,"]*(?:"(?:[^"\\]|\\.)*")?[^,]*(?:, |$)/gy;

function namesOf(leaf: X509Certificate, { subject }: DetailedPeerCertificate): string[] {
  const names: string[] = [];
  for (const [match, type, value] of (leaf.subjectAltName ?? '').matchAll(ALTERNATIVE_NAME)) {
    if (match === '') break;
    if (type === undefined || value === undefined) continue;
    const name = value.startsWith('"') ? String(JSON.parse(value)) : value;
    names.push(`${type}:${type === 'DNS' ? name.toLowerCase() : name}`);
  }
  const commonNames: unknown = (subject as { CN?: unknown } | undefined)?.CN;
  for (const name of Array.isArray(commonNames) ? commonNames : [commonNames]) {
    if (typeof name === 'string') names.push(`CN:${name}`);
  }
  return names;
}
