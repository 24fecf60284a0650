import type { KeyObject } from 'node:crypto';
import type { ClientSettings, ClientsSettings } from './client-settings.ts';
import type { QuarantineSettings } from './quarantined.ts';
import type { SenderProfile } from './sender-profile.ts';
import type { SignatureKey, SignatureRule } from './signature-settings.ts';
import type { StateSettings } from './state-settings.ts';
import type { ClientTls, TlsSettings } from './tls-settings.ts';

/** The methods a route may let in: any but CONNECT and TRACE. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const;

/** What the configuration says, read once, completely: durations in milliseconds, sizes in bytes, files loaded. */
export interface Settings {
  /** Absolute path of the configuration file. */
  readonly file: string;
  readonly listen: {
    readonly address: string;
    readonly port: number;
    /** Further processes may listen on the same port (SO_REUSEPORT). */
    readonly reusePort: boolean;
    /** Every connection begins with a PROXY header; the address in it is believed. */
    readonly proxyProtocol: boolean;
    /** Addresses and CIDRs whose word on the sender's address is believed. */
    readonly trustedProxies: readonly string[];
    /** Trusted proxies name the sender in X-Forwarded-For. */
    readonly forwardedFor: boolean;
  };
  readonly admin: AdminSettings | false;
  readonly tls: TlsSettings;
  readonly limits: Limits;
  readonly state: StateSettings;
  readonly log: LogSettings;
  readonly upstreams: ReadonlyMap<string, UpstreamSettings>;
  readonly routes: readonly RouteSettings[];
  /** The same for people, in the notation of the file, every default filled in and no secret in it. */
  readonly shown: Readonly<Record<string, unknown>>;
}

export interface AdminSettings {
  readonly address: string;
  readonly port: number;
  readonly token: string | undefined;
}

export interface LogSettings {
  readonly level: LogLevel;
  /** `stdout` or an absolute path. */
  readonly destination: string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Sizes in bytes, times in milliseconds. */
export interface Limits {
  readonly body: number;
  readonly bufferedBodies: number;
  readonly connections: number;
  /** Of one address, or one IPv6 /64; `undefined`: no cap. */
  readonly connectionsPerAddress: number | undefined;
  /** How long the event loop may be busy before new requests are turned away. */
  readonly eventLoopDelay: number;
  readonly handshakeTimeout: number;
  readonly headerTimeout: number;
  readonly bodyTimeout: number;
  readonly idleTimeout: number;
  readonly drainDelay: number;
  readonly drainTimeout: number;
}

export interface UpstreamSettings {
  readonly name: string;
  readonly targets: readonly Target[];
  /** `undefined`: the sender's deadline less 2 s, or 30 s without one. */
  readonly timeoutMs: number | undefined;
  readonly connectTimeoutMs: number;
  readonly lateMs: number;
  /** To each target. */
  readonly connections: number;
  /** Requests under way at all targets together. */
  readonly concurrency: number;
  /** How many more may wait for a connection, and for how long. */
  readonly waiting: number;
  readonly waitMs: number;
  /** After how many failed connects in a row a target is left alone, and for how long. */
  readonly eject: { readonly failures: number; readonly durationMs: number };
  readonly health: HealthSettings | undefined;
  readonly tls: ClientTls | undefined;
  /** Flat, names in lower case. */
  readonly headers: readonly string[];
}

/** How an upstream's targets are asked whether they are well. */
export interface HealthSettings {
  readonly path: string;
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/** One place an upstream listens at. */
export interface Target {
  /** As written in the configuration, for the log. */
  readonly name: string;
  /** `http://host:port` or `https://host:port`. */
  readonly origin: string;
  readonly socketPath: string | undefined;
}

export type Credential =
  | { readonly kind: 'bearer'; readonly token: string }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | { readonly kind: 'header'; readonly name: string; readonly value: string };

export type RateKey =
  | { readonly by: 'route' | 'address' | 'certificate' }
  | { readonly by: 'header'; readonly name: string };

export interface RateLimit {
  readonly count: number;
  readonly perMs: number;
  readonly burst: number;
  readonly key: RateKey;
  /** How long a request over the rate waits for its turn; 0: it is refused at once. */
  readonly waitMs: number;
  /** How many may wait at one time. */
  readonly waiting: number;
  readonly mode: Mode;
}

/** Whether a check refuses, or only has recorded what it would refuse. */
export type Mode = 'enforce' | 'report';

/** The checks of a route that may be in report mode, beside its rate limits. */
export type ReportableCheck = 'address' | 'certificate' | 'authorization' | 'signature' | 'filter';

/** How the gateway vouches to an upstream for what it lets through. */
export interface AttestSettings {
  readonly algorithm: 'EdDSA' | 'HS256';
  /** An Ed25519 private key, or the secret that the upstream shares. */
  readonly key: KeyObject;
  readonly keyId: string | undefined;
}

/** `any` opens; otherwise addresses and CIDRs in their canonical spelling. */
export type AddressList = 'any' | readonly string[];

export interface CertificateRule {
  /** Typed: `DNS:a.example.com`, `URI:…`, `email:…`, `CN:…`. */
  readonly names: readonly string[] | undefined;
  readonly fingerprints: readonly string[] | undefined;
  readonly publicKeys: readonly string[] | undefined;
}

export interface RouteSettings {
  readonly name: string;
  /** Exact, or ending in `/*`. */
  readonly path: string;
  /** Lower case, without a port. */
  readonly host: string | undefined;
  /** Sorted by name; names in lower case. `secret`: a substitution brought the value in, so it is not shown. */
  readonly headers: readonly { readonly name: string; readonly value: string; readonly secret: boolean }[];
  /** `undefined`: any but CONNECT and TRACE. */
  readonly methods: readonly string[] | undefined;
  readonly sender: SenderProfile | undefined;
  readonly addresses: AddressList;
  /** `none`: a client certificate is not asked for. */
  readonly certificate: CertificateRule | 'none';
  readonly authorization: readonly Credential[];
  readonly signature: SignatureSettings | undefined;
  /** `undefined`: the clients of the sender are not told apart. */
  readonly clients: ClientsSettings | undefined;
  /** The known client that these settings are for; not there: they are the route's own. */
  readonly client?: ClientSettings;
  /** What is done with a message whose signature does not hold; `undefined`: it is refused. */
  readonly quarantine: QuarantineSettings | undefined;
  readonly rateLimits: readonly RateLimit[];
  /** `undefined`: every event is delivered. */
  readonly filter: FilterSettings | undefined;
  /** `undefined`: what is delivered is what was received. */
  readonly transform: TransformSettings | undefined;
  /** The checks in report mode. */
  readonly reported: readonly ReportableCheck[];
  readonly bodyLimit: number;
  readonly upstream: UpstreamSettings;
  readonly upstreamPath: string | undefined;
  readonly rememberMs: number;
  readonly passCredentials: boolean;
  readonly clientCertificateHeader: boolean;
  readonly attest: AttestSettings | undefined;
  readonly webhookDelivery: 'strip' | 'pass';
  /** Whether the sender waits for the upstream's answer, or for the disk alone. */
  readonly deliver: 'forward' | 'queue';
  /** What becomes of a forwarded event whose upstream has not answered in time: 504, or the queue. */
  readonly late: 'timeout' | 'queue';
  /** How what was accepted is delivered; a route that no longer queues may have some left. */
  readonly queue: QueueSettings;
  /** What is done while the shared state is out of reach: 503, or going by this process's own memory. */
  readonly onStateLoss: 'refuse' | 'allow';
}

/** Which events are delivered: those whose type is among these, and whose company has one of these tags. */
export interface FilterSettings {
  /** Exact, or a prefix that ends in `*`. */
  readonly events: readonly string[] | undefined;
  /** `name:value`. */
  readonly tags: readonly string[] | undefined;
}

/** The script that every delivered message goes through. */
export interface TransformSettings {
  /** The file, as the configuration's user can find it. */
  readonly name: string;
  readonly source: string;
  /** What the script may take for one message. */
  readonly timeoutMs: number;
  readonly memoryBytes: number;
}

/** How accepted events are delivered. Times in milliseconds. */
export interface QueueSettings {
  readonly attempts: number;
  /** The pauses between attempts; the last one repeats. */
  readonly scheduleMs: readonly number[];
  /** Statuses of the upstream after which an event is a dead letter at once. */
  readonly giveUp: readonly number[];
  /** Deliveries under way at one time, in this process. */
  readonly concurrency: number;
  /** Deliveries that begin in a span of time, in all processes together. */
  readonly pace: { readonly count: number; readonly perMs: number } | undefined;
  readonly ordered: OrderKey | undefined;
}

/** What events must share to be delivered one after the other. */
export type OrderKey =
  | { readonly by: 'certificate' | 'company' }
  | { readonly by: 'header'; readonly name: string };

/** How a route's messages are signed, and by whom; the keys are tried in this order. */
export type SignatureSettings = SignatureRule & { readonly keys: readonly SignatureKey[] };
