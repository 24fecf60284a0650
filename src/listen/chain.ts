import { X509Certificate } from 'node:crypto';

/**
 * The certificates above a verified leaf: its issuer first, its root last. `undefined`: none were found that lead to a
 * root.
 * @param leaf as its connection gave it, with what was sent along
 */
export type FindIssuers = (leaf: X509Certificate) => readonly X509Certificate[] | undefined;

/** Of one chain, and of what a client may send along: each step is tried with each certificate. */
const LONGEST = 10;
/** Certificates that all issue each other make more chains than there is time for: so many signatures are looked at. */
const MOST_SIGNATURES = 64;

/**
 * Finds a leaf's chain signature by signature. Node tells what the client sent and what the names in it suggest: a
 * certificate that merely bears an issuer's name would pass for the issuer, and of a chain that was sent in another
 * order a part would be missing.
 * @param pems the authorities that the handshake believes, one certificate each
 */
export function issuerFinder(pems: readonly string[]): FindIssuers {
  const authorities = pems.map((pem) => new X509Certificate(pem));
  const roots = new Set(authorities.filter((authority) => isIssuedBy(authority, authority)));
  const known = new Set(authorities.map(({ fingerprint256 }) => fingerprint256));

  /** Of several chains (a renewed authority, a cross-signed one) the one that is good for the longest. */
  function find(
    certificate: X509Certificate,
    search: Search,
    below: readonly X509Certificate[],
  ): X509Certificate[] | undefined {
    if (below.length === LONGEST) return undefined;
    let best: X509Certificate[] | undefined;
    for (const issuer of search.candidates) {
      if (below.includes(issuer) || !certificate.checkIssued(issuer)) continue;
      if (search.signaturesLeft === 0) break;
      search.signaturesLeft -= 1;
      if (!certificate.verify(issuer.publicKey)) continue;
      const above = roots.has(issuer) ? [] : find(issuer, search, [...below, issuer]);
      if (above === undefined) continue;
      const found = [issuer, ...above];
      if (best === undefined || firstEndMs(found) > firstEndMs(best)) best = found;
    }
    return best;
  }

  // Ours first: what a client sends beside them can only add to what is found.
  return (leaf) => {
    const candidates = [...authorities, ...sentWith(leaf, known)];
    return find(leaf, { candidates, signaturesLeft: MOST_SIGNATURES }, []);
  };
}

interface Search {
  readonly candidates: readonly X509Certificate[];
  signaturesLeft: number;
}

/** When the first of these certificates expires, milliseconds since the epoch. */
export function firstEndMs(certificates: readonly X509Certificate[]): number {
  return Math.min(...certificates.map(({ validTo }) => Date.parse(validTo)));
}

/** The authorities that stood behind the leaf in the client's message, less those that are ours. */
function sentWith(leaf: X509Certificate, known: ReadonlySet<string>): X509Certificate[] {
  const sent = new Map<string, X509Certificate>();
  let next = leaf.issuerCertificate;
  while (next !== undefined && sent.size < LONGEST) {
    if (next.ca && !known.has(next.fingerprint256)) sent.set(next.fingerprint256, next);
    next = next.issuerCertificate;
  }
  return [...sent.values()];
}

/** Names first (RFC 5280 section 6.1.3), since the signature costs a hundred times as much. */
function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
