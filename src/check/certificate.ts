import type { CertificateRule } from '../settings.ts';
import { type Certificate, type Check, type Head, PASS, type Refusal } from '../types.ts';

const MISSING: Refusal = Object.freeze({ reason: 'certificate.missing' });
const EXPIRED: Refusal = Object.freeze({ reason: 'certificate.expired' });

/**
 * Lets in peers whose verified certificate is still valid and is on every list the rule gives. Validity is judged
 * again for each request: a kept-alive connection or a resumed session outlives the certificate it was opened with.
 */
export function certificateCheck(rule: CertificateRule): Check<Head> {
  const names = listed(rule.names, 'no name of the certificate is listed');
  const fingerprints = listed(rule.fingerprints, 'the fingerprint is not listed');
  const publicKeys = listed(rule.publicKeys, 'the public key is not listed');
  return {
    name: 'certificate',
    examine: ({ peer, epochMs }) => {
      const certificate = peer.certificate;
      if (certificate === undefined) return peer.certificateError ?? MISSING;
      if (epochMs > certificate.notAfterMs) return EXPIRED;
      return (
        names(certificate.names) ??
        fingerprints([certificate.fingerprint]) ??
        publicKeys([certificate.publicKey]) ??
        PASS
      );
    },
  };
}

/** The refusal of a certificate of which nothing is on the list; without a list nothing is refused. */
function listed(
  list: readonly string[] | undefined,
  detail: string,
): (facts: Certificate['names']) => Refusal | undefined {
  if (list === undefined) return () => undefined;
  const allowed = new Set(list);
  const refusal: Refusal = Object.freeze({ reason: 'certificate.not_allowed', detail });
  return (facts) => (facts.some((fact) => allowed.has(fact)) ? undefined : refusal);
}
