import type { Reason } from './reasons.ts';

/** An IP address as a number: IPv4 as an unsigned 32-bit number, IPv6 as a 128-bit bigint. */
export type AddressValue = number | bigint;

/** A certificate and those between it and the root, in DER, the leaf's issuer first. */
export interface CertificateChain {
  readonly leaf: Buffer;
  readonly issuers: readonly Buffer[];
}

/** The facts of one verified client certificate, read once per connection. */
export interface Certificate {
  /** The subject, one line: `CN=codat,O=Example`. */
  readonly subject: string;
  /** Typed names: `DNS:` (lower case), `URI:`, `email:`, and the subject's `CN:`. */
  readonly names: readonly string[];
  /** `sha256:` and 64 lower-case hexadecimal digits of the leaf. */
  readonly fingerprint: string;
  /** `sha256:` and 64 lower-case hexadecimal digits of the leaf's SubjectPublicKeyInfo. */
  readonly publicKey: string;
  /** When the first certificate of the verified chain expires, milliseconds since the epoch. */
  readonly notAfterMs: number;
  /** What a route hands on to its upstream; kept only where one does. */
  readonly der: CertificateChain | undefined;
}

/** The other end of one TLS connection, settled at the handshake. */
export interface Peer {
  /** Without a zone; an IPv4-mapped IPv6 address as IPv4. */
  readonly address: string;
  readonly addressValue: AddressValue;
  /** The host (its first name) under whose client trust the handshake judged; empty: the default. */
  readonly host: string;
  /** `undefined`: none was presented, or it was not vouched for (then `certificateError` says why). */
  readonly certificate: Certificate | undefined;
  readonly certificateError: Refusal | undefined;
}

/** What the head of a request says. */
export interface RequestHead {
  readonly method: string;
  /** The target up to the first `?`. */
  readonly path: string;
  /** From the first `?` on; empty where there is none. */
  readonly query: string;
  /** The Host field as it was sent. */
  readonly authority: string;
  /** The Host field in lower case without its port. */
  readonly host: string;
  /** Name, value, name, value …; names in lower case, values without surrounding white space. */
  readonly headers: readonly string[];
  /** `undefined`: the body is chunked. */
  readonly contentLength: number | undefined;
}

/** All that is known of a request before the first byte of its body. */
export interface Head extends RequestHead {
  /** The request id: a UUID of our own. */
  readonly id: string;
  readonly peer: Peer;
  /** Monotonic milliseconds at the head's first byte. */
  readonly startedMs: number;
  /** Wall clock, milliseconds since the epoch, read once a request. */
  readonly epochMs: number;
}

/** A request whose body has been read, whole and raw. */
export interface Message extends Head {
  readonly body: Buffer;
}

/** A check's "yes", with what it proved. */
export interface Pass {
  readonly reason?: undefined;
  /** The place (from 0) of the secret that matched. */
  readonly secret?: number;
  /** The signed message id: only a signature that holds can vouch for one. */
  readonly messageId?: string;
  /** What the check would have refused: it is in report mode, and proves nothing. */
  readonly wouldRefuse?: Refusal;
  /** It passes when its turn has come, and not before. */
  readonly turn?: Turn;
}

/** A place in the line of those that wait for their turn. */
export interface Turn {
  /** Resolves when the turn has come, or with why it never will. Never rejects. */
  readonly come: Promise<Refusal | undefined>;
  /** Leaves the line. Does nothing once `come` has resolved. */
  giveUp(why: Refusal): void;
}

/** A check's "no", in one word. */
export interface Refusal {
  readonly reason: Reason;
  /** For the log, never for the sender. */
  readonly detail?: string | undefined;
  readonly retryAfterSeconds?: number;
  /** Fields that this refusal's answer must carry (Allow, WWW-Authenticate), flat. */
  readonly headers?: readonly string[];
}

/** `undefined` is no verdict, so forgetting to answer cannot mean allowed. */
export type Verdict = Pass | Refusal;

/** The pass that proves nothing beyond itself. */
export const PASS: Pass = Object.freeze({});

/**
 * One question about a request. `examine` is a property and not a method, so that its parameter is checked
 * contravariantly: a check that needs a body does not compile among the head checks.
 */
export interface Check<In> {
  readonly name: string;
  /** In report mode: that it passed proves nothing, so nobody is told that it did. */
  readonly reports?: true;
  /** A promise only where something beyond this process is asked. Never rejects. */
  readonly examine: (input: In) => Verdict | Promise<Verdict>;
}

/** A body that arrives piece by piece from the upstream and is handed on with back-pressure. */
export interface BodyStream {
  /** Starts the flow; called exactly once. */
  start(sink: BodySink): void;
  /** Asks for more after `write` returned false. */
  resume(): void;
  /** The sender is gone. */
  cancel(): void;
}

export interface BodySink {
  /** Returns false when the sender is slower than the upstream: wait for `resume`. */
  write(chunk: Buffer): boolean;
  end(): void;
  /** The upstream died: the sender must not take the answer for complete. */
  fail(fault: Refusal): void;
}

/** What an upstream answered. */
export interface UpstreamAnswer {
  readonly status: number;
  /** Flat. */
  readonly headers: readonly string[];
  readonly body: Buffer | BodyStream | undefined;
}

/** What goes back to the sender; `listen/` writes it, `respond.ts` makes it. */
export interface Reply {
  readonly status: number;
  /** Flat; without framing, Connection and Date, which belong to the connection. */
  readonly headers: readonly string[];
  readonly body: Buffer | BodyStream | undefined;
  readonly close: boolean;
}

/** How the gateway sees the other end while one request is under way. */
export interface Sender {
  /**
   * The whole body, or why there is none. Never throws.
   * @param limitBytes the route's body limit
   * @param byMs monotonic time by which the body must be complete; the listener's own limit applies too
   */
  readBody(limitBytes: number, byMs: number): Buffer | Refusal | Promise<Buffer | Refusal>;
  /** Nothing needs the body any more: its memory counts as free. May be called more than once. */
  releaseBody(): void;
  /** Whether the connection has ended: nobody reads the answer. */
  readonly isGone: boolean;
  /** Called once if the connection ends before the answer was handed over. */
  onGone: (() => void) | undefined;
}

/** What became of a delivery: the upstream's status line, or why there was none. */
export type Settlement =
  | { readonly status: number; readonly reason?: undefined }
  | (Refusal & { readonly status?: undefined });

/** The gateway as the listener sees it. `undefined`: close without an answer. */
export interface Handler {
  handle(head: Head, sender: Sender): Promise<Reply | undefined>;
  /** A head that could not be read as a request: answered and recorded, by the same hand as everything else. */
  refuseUnread(refusal: Refusal, unread: UnreadHead): Reply | undefined;
  /** A connection that never carried a request: closed before or in the TLS handshake. */
  refuseConnection(refusal: Refusal, address: string): void;
}

/** What little is known of a head that was refused while it was read. */
export interface UnreadHead {
  readonly peer: Peer;
  readonly startedMs: number;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
}
