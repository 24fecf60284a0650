import { X509Certificate } from 'node:crypto';
import { parseAddress, withoutZoneAndMapping } from '../../addresses.ts';
import { issuerFinder } from '../../listen/chain.ts';
import { certificateFacts } from '../../listen/identify.ts';
import { revocationCheck } from '../../listen/revocation.ts';
import { trustFinder } from '../../listen/trust.ts';
import type { TlsHost, TlsSettings } from '../../tls-settings.ts';
import type { Certificate, Peer, Refusal } from '../../types.ts';
import { CliError } from '../exit.ts';
import type { CertificateFacts, GivenCertificate } from './capture.ts';

/** The other end of a captured request, and what is not known of it. */
export interface KnownPeer {
  readonly peer: Peer;
  readonly knowsAddress: boolean;
  /** What of the certificate is known; empty: whether there was one at all is not. */
  readonly knowsOfCertificate: ReadonlySet<CertificatePart>;
  /** What was taken for granted. */
  readonly notes: readonly string[];
}

export type CertificatePart = 'names' | 'fingerprints' | 'publicKeys' | 'presence';

export interface PeerFacts {
  readonly address: string | undefined;
  readonly certificate: GivenCertificate | undefined;
  /** As the Host field names it; the handshake is taken to have been for the same. */
  readonly host: string;
  readonly epochMs: number;
}

const ALL: readonly CertificatePart[] = ['presence', 'names', 'fingerprints', 'publicKeys'];
const MOST_CERTIFICATES = 10;
/** RFC 5280 section 4.2.1.12: a certificate that says what it is for must say this. */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const ANY_USAGE = '2.5.29.37.0';

/**
 * Settles the facts of a connection as its handshake would have.
 * @throws CliError, exit code 2, for what is no address or no certificate
 */
export function knownPeer(facts: PeerFacts, tls: TlsSettings): KnownPeer {
  const { address, certificate: given, host, epochMs } = facts;
  const addressValue = address === undefined ? 0 : parseAddress(address);
  if (addressValue === undefined)
    throw new CliError('the address is not an IP address; write it as 203.0.113.9 or 2001:db8::9', 2);
  const trust = trustFinder(tls)(host);
  const found = judge(given, trust.settings, epochMs);
  const isGood = found !== undefined && !('reason' in found);
  return {
    peer: {
      address: withoutZoneAndMapping(address ?? '0.0.0.0'),
      addressValue,
      host: trust.host,
      certificate: isGood ? found : undefined,
      certificateError: isGood ? undefined : found,
    },
    knowsAddress: address !== undefined,
    knowsOfCertificate: new Set(partsOf(given)),
    notes:
      isFacts(given) && isGood
        ? [
            'Whether the certificate is vouched for by client_ca is taken for granted; --certificate FILE.pem would have it judged.',
          ]
        : [],
  };
}

function isFacts(given: GivenCertificate | undefined): given is CertificateFacts {
  return typeof given === 'object' && given.pem === undefined;
}

function partsOf(given: GivenCertificate | undefined): readonly CertificatePart[] {
  if (given === undefined) return [];
  if (!isFacts(given)) return ALL;
  return [
    'presence',
    ...(given.names === undefined ? [] : (['names'] as const)),
    ...(given.fingerprint === undefined ? [] : (['fingerprints'] as const)),
    ...(given.publicKey === undefined ? [] : (['publicKeys'] as const)),
  ];
}

function judge(
  given: GivenCertificate | undefined,
  trust: TlsHost,
  epochMs: number,
): Certificate | Refusal | undefined {
  if (given === undefined) return undefined;
  if (given === 'none') return { reason: 'certificate.missing' };
  if (given.pem !== undefined) return judgePem(given.pem, trust, epochMs);
  return {
    subject: given.subject ?? '',
    names: given.names ?? [],
    fingerprint: given.fingerprint?.toLowerCase() ?? '',
    publicKey: given.publicKey?.toLowerCase() ?? '',
    notAfterMs: given.notAfterMs ?? Number.POSITIVE_INFINITY,
    der: undefined,
  };
}

/** As OpenSSL and the listener do: a chain to an authority, in time, for this use, not revoked. */
function judgePem(pem: string, trust: TlsHost, epochMs: number): Certificate | Refusal {
  const [leaf, ...sent] = readPem(pem);
  if (leaf === undefined)
    throw new CliError(
      'the certificate is not one in PEM; give its text, -----BEGIN CERTIFICATE----- and all',
      2,
    );
  // A root that the client brings along itself vouches for nothing.
  const between = sent.filter((one) => one.ca && !one.checkIssued(one)).map((one) => one.toString());
  const issuers = issuerFinder([...trust.clientCa, ...between])(leaf);
  if (issuers === undefined) return { reason: 'certificate.untrusted', detail: 'no chain to client_ca' };
  if ([leaf, ...issuers].some(({ validFrom }) => epochMs < Date.parse(validFrom)))
    return { reason: 'certificate.untrusted', detail: 'CERT_NOT_YET_VALID' };
  const usages: readonly string[] | undefined = leaf.keyUsage;
  if (usages !== undefined && !usages.includes(CLIENT_AUTH) && !usages.includes(ANY_USAGE))
    return { reason: 'certificate.untrusted', detail: 'INVALID_PURPOSE: it is not for clients' };
  if (trust.clientCrl.length > 0) {
    const refusal = revocationCheck(trust.clientCrl)([leaf, ...issuers]);
    if (refusal !== undefined) return refusal;
  }
  return certificateFacts(leaf, leaf.toLegacyObject(), issuers, false);
}

function readPem(pem: string): X509Certificate[] {
  const texts = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return texts.slice(0, MOST_CERTIFICATES).map((text) => new X509Certificate(text));
  } catch {
    return [];
  }
}
