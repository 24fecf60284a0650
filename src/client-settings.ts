import type { CertificateRule, RateLimit, UpstreamSettings } from './settings.ts';
import type { SignatureKey } from './signature-settings.ts';

/** How the clients of one sender are told apart on one route. */
export interface ClientsSettings {
  /** The header that names the client, in lower case. Nothing signs it. */
  readonly header: string;
  /** What becomes of a request that names no known client: no, or the route's own rules. */
  readonly unknown: 'refuse' | 'allow';
  readonly mode: 'enforce' | 'report';
  readonly known: readonly ClientSettings[];
  /** The keys of the route's own signature. */
  readonly routeKeys: readonly SignatureKey[];
}

/** A known client, and by what it is known: at least one of `keys` and `certificate` is there. */
export interface ClientSettings {
  /** As the header carries it. */
  readonly id: string;
  /** What its messages are signed by; `undefined`: the route's own. */
  readonly keys: readonly SignatureKey[] | undefined;
  /** What its certificate must be beyond what the route asks; `undefined`: nothing. */
  readonly certificate: CertificateRule | undefined;
  readonly upstream: UpstreamSettings;
  readonly upstreamPath: string | undefined;
  /** In the place of the route's that do not go by address; `undefined`: those, counted for this client. */
  readonly rateLimits: readonly RateLimit[] | undefined;
}
