import { hash, type X509Certificate } from 'node:crypto';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { parseAddress } from '../addresses.ts';
import type { Certificate, Peer, Refusal } from '../types.ts';
import type { CheckRevocation } from './revocation.ts';

const LONGEST_CHAIN = 10;

export interface IdentifyOptions {
  readonly address: string;
  /** The host whose client trust the handshake used. */
  readonly host: string;
  /** Whether the certificates themselves are kept, for routes that hand them on. */
  readonly keepsDer: boolean;
  readonly known: KnownCertificates;
  /** What a full handshake is judged by beyond OpenSSL. */
  readonly revocation: CheckRevocation | undefined;
}

/** The facts of a connection, read once: reading the certificate costs more than all else a request needs. */
export function identify(socket: TLSSocket, options: IdentifyOptions): Peer {
  const { address, host } = options;
  const found = certificateOf(socket, options);
  const isGood = !('reason' in found);
  return {
    address,
    addressValue: parseAddress(address) ?? 0,
    host,
    certificate: isGood ? found : undefined,
    certificateError: isGood ? undefined : found,
  };
}

/**
 * The certificates that full handshakes verified under one client trust. A resumed session brings the leaf only: it
 * would outlive the certificates between that and the root, and nothing in it says which authorities were asked.
 */
export class KnownCertificates {
  readonly #byLeaf = new Map<string, Certificate>();

  remember(leaf: X509Certificate, certificate: Certificate): void {
    // The one that was seen last goes last.
    this.#byLeaf.delete(leaf.fingerprint256);
    this.#byLeaf.set(leaf.fingerprint256, certificate);
    if (this.#byLeaf.size <= MOST_KNOWN) return;
    const [oldest] = this.#byLeaf.keys();
    this.#byLeaf.delete(oldest as string);
  }

  find(leaf: X509Certificate): Certificate | undefined {
    return this.#byLeaf.get(leaf.fingerprint256);
  }
}

const MOST_KNOWN = 10_000;

function certificateOf(
  socket: TLSSocket,
  { keepsDer, known, revocation }: IdentifyOptions,
): Certificate | Refusal {
  const leaf = socket.getPeerX509Certificate();
  if (leaf === undefined) return { reason: 'certificate.missing' };
  if (!socket.authorized) return certificateRefusal(socket.authorizationError);
  if (socket.isSessionReused()) {
    const certificate = known.find(leaf);
    if (certificate === undefined) return UNKNOWN_SESSION;
    known.remember(leaf, certificate);
    return certificate;
  }
  const detailed = socket.getPeerCertificate(true);
  const issuers = issuersOf(detailed);
  const refusal = revocation?.([leaf.raw, ...issuers.map(({ raw }) => raw)]);
  if (refusal !== undefined) return refusal;
  const certificate = certificateFacts(leaf, detailed, issuers, keepsDer);
  known.remember(leaf, certificate);
  return certificate;
}

const UNKNOWN_SESSION: Refusal = Object.freeze({
  reason: 'certificate.untrusted',
  detail: 'a resumed session whose certificate is not known any more',
});

/** The refusal for OpenSSL's word on a chain that did not verify. */
export function certificateRefusal(error: unknown): Refusal {
  const code = typeof error === 'string' ? error : ((error as { code?: string } | undefined)?.code ?? '');
  if (code === 'CERT_HAS_EXPIRED') return { reason: 'certificate.expired' };
  if (code === 'CERT_REVOKED') return { reason: 'certificate.revoked' };
  return { reason: 'certificate.untrusted', detail: code };
}

function certificateFacts(
  leaf: X509Certificate,
  detailed: DetailedPeerCertificate,
  issuers: readonly DetailedPeerCertificate[],
  keepsDer: boolean,
): Certificate {
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
