import type { CertificateRule } from '../settings.ts';
import { type Certificate, type Check, type Head, PASS, type Refusal, type Verdict } from '../types.ts';

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
    examine: (head) => {
      const untrusted = examineTrust(head);
      if (untrusted.reason !== undefined) return untrusted;
      const { certificate } = head.peer;
      if (certificate === undefined) return MISSING;
      return (
        names(certificate.names) ??
        fingerprints([certificate.fingerprint]) ??
        publicKeys([certificate.publicKey]) ??
        PASS
      );
    },
  };
}

/**
 * What the handshake itself decides, also where it is optional and the route's rule is only reported: a certificate that
 * is there and not to be trusted. Whoever has none shows nothing that could be false.
 */
export function examineTrust({ peer, epochMs }: Head): Verdict {
  const { certificate, certificateError = MISSING } = peer;
  if (certificate !== undefined) return epochMs > certificate.notAfterMs ? EXPIRED : PASS;
  return certificateError.reason === 'certificate.missing' ? PASS : certificateError;
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
