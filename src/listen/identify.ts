import { hash, type X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { parseAddress } from '../addresses.ts';
import type { Certificate, Peer, Refusal } from '../types.ts';
import { type FindIssuers, firstEndMs } from './chain.ts';
import type { CheckRevocation } from './revocation.ts';

export interface IdentifyOptions {
  readonly address: string;
  /** The host whose client trust the handshake used. */
  readonly host: string;
  /** Whether the certificates themselves are kept, for routes that hand them on. */
  readonly keepsDer: boolean;
  readonly known: KnownCertificates;
  readonly issuersOf: FindIssuers;
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
  { keepsDer, known, issuersOf, revocation }: IdentifyOptions,
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
  const issuers = issuersOf(leaf);
  // OpenSSL has found one; but when that ends, and whether it is revoked, must be known as well.
  if (issuers === undefined) return NO_CHAIN;
  const refusal = revocation?.([leaf, ...issuers]);
  if (refusal !== undefined) return refusal;
  const certificate = certificateFacts(leaf, socket.getPeerCertificate(), issuers, keepsDer);
  known.remember(leaf, certificate);
  return certificate;
}

const NO_CHAIN: Refusal = Object.freeze({
  reason: 'certificate.untrusted',
  detail: 'no chain to an authority was found among what it sent and client_ca',
});
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

/** What a route goes by of a certificate, whose chain is known. */
export function certificateFacts(
  leaf: X509Certificate,
  { subject }: { readonly subject: unknown },
  issuers: readonly X509Certificate[],
  keepsDer: boolean,
): Certificate {
  return {
    subject: subjectOf(leaf),
    names: namesOf(leaf, subject),
    fingerprint: `sha256:${hash('sha256', leaf.raw)}`,
    publicKey: `sha256:${hash('sha256', leaf.publicKey.export({ type: 'spki', format: 'der' }))}`,
    notAfterMs: firstEndMs([leaf, ...issuers]),
    // The root stands last, and the upstream knows it or does not believe it (RFC 9440 section 2.3).
    der: keepsDer ? { leaf: leaf.raw, issuers: issuers.slice(0, -1).map(({ raw }) => raw) } : undefined,
  };
}

/** Node has no text for an empty subject, as SPIFFE certificates have it, though its types say so. */
function subjectOf({ subject }: { subject: string | undefined }): string {
  return subject?.replaceAll('\n', ',') ?? '';
}

/** Node quotes a name that holds a separator, so that one name cannot pose as two. */
const ALTERNATIVE_NAME =
  /(DNS|URI|email):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)|[^,"]*(?:"(?:[^"\\]|\\.)*")?[^,]*(?:, |$)/gy;

function namesOf(leaf: X509Certificate, subject: unknown): string[] {
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
