import { verify, X509Certificate } from 'node:crypto';
import { certificateNames } from '../der.ts';
import type { RevocationList } from '../settings.ts';
import type { Refusal } from '../types.ts';

/** Whether a verified chain, the leaf first, holds a revoked certificate; `undefined`: none is. */
export type CheckRevocation = (chain: readonly Buffer[]) => Refusal | undefined;

/**
 * Looks the certificates of a chain up in revocation lists, whether or not a list has ended: OpenSSL, which does it
 * otherwise, refuses everybody then. Each certificate must be covered by a list that its issuer signed (RFC 5280
 * section 6.3.3). What OpenSSL verified is not told link by link, and a client may send certificates that only look
 * like those: so each link is verified here again.
 * @param authorities PEM texts: one of them must be the chain's end
 */
export function revocationCheck(
  lists: readonly RevocationList[],
  authorities: readonly string[],
): CheckRevocation {
  const ends = new Set(authorities.map((pem) => new X509Certificate(pem).fingerprint256));
  return (ders) => {
    const chain = ders.map((der) => new X509Certificate(der));
    const end = chain.at(-1);
    if (end === undefined || !ends.has(end.fingerprint256))
      return untrusted('its chain does not end in client_ca');
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
  if (!certificate.verify(issuer.publicKey)) return untrusted('its chain does not verify link by link');
  const name = certificateNames(certificate.raw).issuer;
  const covering = lists.filter((list) => list.issuerId === name && isSignedBy(list, issuer));
  if (covering.length === 0)
    return untrusted(`no revocation list is of ${issuer.subject.replaceAll('\n', ', ')}`);
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

function untrusted(detail: string): Refusal {
  return { reason: 'certificate.untrusted', detail };
}
