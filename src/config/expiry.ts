import { subjectOf } from './pem.ts';
import type { Watched } from './tls.ts';

/** A certificate or a revocation list, and when it ends. */
export interface Expiry {
  readonly kind: 'certificate' | 'crl';
  /** The key in the configuration: `tls.certificate`. */
  readonly where: string;
  /** The certificate's subject or the list's issuer. */
  readonly name: string;
  /** For people: which of how many, and whose. */
  readonly label: string;
  readonly beginsMs: number;
  readonly endsMs: number;
}

const DAY_MS = 86_400_000;
const CERTIFICATE_DAYS = 30;
/** Lists live for days, not for years; half of a life is not yet soon. */
const CRL_DAYS = 3;

/** Everything in the configuration that ends by itself. */
export function expiriesOf(watched: readonly Watched[]): readonly Expiry[] {
  return watched.flatMap(({ what, certificates, crls = [] }) => [
    ...certificates.map((certificate, index): Expiry => {
      const name = subjectOf(certificate);
      return {
        kind: 'certificate',
        where: what,
        name,
        label: `${what}: certificate ${index + 1} of ${certificates.length} (${name})`,
        beginsMs: Date.parse(certificate.validFrom),
        endsMs: Date.parse(certificate.validTo),
      };
    }),
    ...crls.flatMap(({ file, issuer, thisUpdateMs, nextUpdateMs }): Expiry[] =>
      nextUpdateMs === undefined
        ? []
        : [
            {
              kind: 'crl',
              where: what,
              name: issuer,
              label: `${what}: the revocation list of ${issuer} in ${file}`,
              beginsMs: thisUpdateMs,
              endsMs: nextUpdateMs,
            },
          ],
    ),
  ]);
}

/** What an operator should do about it by now; `undefined`: nothing. */
export function expiryWarning(expiry: Expiry, nowMs: number): string | undefined {
  const { kind, label, beginsMs, endsMs } = expiry;
  const remedy = kind === 'certificate' ? 'renew it' : 'give the list that the authority publishes now';
  const date = new Date(endsMs).toISOString();
  const day = kind === 'certificate' ? date.slice(0, 10) : `${date.slice(0, 19)}Z`;
  if (beginsMs > nowMs) return `${label} is not valid yet`;
  const verb = kind === 'certificate' ? 'expire' : 'end';
  if (endsMs <= nowMs) return `${label} ${verb}${verb === 'end' ? 'ed' : 'd'} on ${day}; ${remedy}`;
  const soonMs =
    kind === 'certificate' ? CERTIFICATE_DAYS * DAY_MS : Math.min(CRL_DAYS * DAY_MS, (endsMs - beginsMs) / 2);
  return endsMs - nowMs <= soonMs ? `${label} ${verb}s on ${day}; ${remedy}` : undefined;
}
