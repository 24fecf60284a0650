import { verify, type X509Certificate } from 'node:crypto';
import { certificateNames } from '../der.ts';
import type { RevocationList } from '../tls-settings.ts';
import type { Refusal } from '../types.ts';

/** Whether a chain, the leaf first and its root last, holds a revoked certificate; `undefined`: none is. */
export type CheckRevocation = (chain: readonly X509Certificate[]) => Refusal | undefined;

/**
 * Looks the certificates of a chain up in revocation lists, whether or not a list has ended: OpenSSL, which does it
 * otherwise, refuses everybody then. Each certificate must be covered by a list that its issuer signed (RFC 5280
 * section 6.3.3). The chain is one that was found by its signatures: what a client sends may only look like it.
 */
export function revocationCheck(lists: readonly RevocationList[]): CheckRevocation {
  return (chain) => {
    for (const [place, certificate] of chain.entries()) {
      const issuer = chain[place + 1];
      if (issuer === undefined) break;
      const refusal = judge(certificate, issuer, lists);
      if (refusal !== undefined) return refusal;
    }
    return undefined;
  };
}

function judge(
  certificate: X509Certificate,
  issuer: X509Certificate,
  lists: readonly RevocationList[],
): Refusal | undefined {
  const name = certificateNames(certificate.raw).issuer;
  const covering = lists.filter((list) => list.issuerId === name && isSignedBy(list, issuer));
  if (covering.length === 0) {
    const detail = `no revocation list is of ${issuer.subject.replaceAll('\n', ', ')}`;
    return { reason: 'certificate.untrusted', detail };
  }
  const serial = certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, '');
  const list = covering.find(({ serials }) => serials.has(serial));
  if (list === undefined) return undefined;
  return { reason: 'certificate.revoked', detail: `listed by ${list.issuer} in ${list.file}` };
}

function isSignedBy({ digest, signed, signature }: RevocationList, issuer: X509Certificate): boolean {
  return (
    digest !== undefined && verify(digest === 'none' ? null : digest, signed, issuer.publicKey, signature)
  );
}
