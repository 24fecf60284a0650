import type { KeyObject } from 'node:crypto';

/** Something that signatures are verified by: `v1` a shared secret (HMAC, or a token), `v1a` a public key. */
export interface SignatureKey {
  readonly version: 'v1' | 'v1a';
  readonly key: KeyObject;
  /** The file or the `${…}` that it was read from; left out where it is written in the configuration itself. */
  readonly from?: string;
}

/** How a sender proves that a message is its own. */
export type SignatureRule = StandardWebhooksRule | HmacRule | PublicKeyRule | TokenRule;

export type SignatureScheme = SignatureRule['scheme'];

/** The prefix of the three signature headers: `webhook-id` or `svix-id`. */
export type HeaderFamily = 'webhook' | 'svix';

/** The Standard Webhooks specification. */
export interface StandardWebhooksRule {
  readonly scheme: 'standard-webhooks';
  readonly family: HeaderFamily;
  readonly toleranceMs: number;
}

/** An HMAC over declared content, in a declared header. */
export interface HmacRule extends DeclaredRule {
  readonly scheme: 'hmac';
  readonly algorithm: 'sha1' | 'sha256' | 'sha512';
  readonly encoding: 'hex' | 'base64' | 'base64url';
  /** How a secret is written where it is configured. */
  readonly secretEncoding: 'text' | 'hex' | 'base64';
}

/** A signature by a private key of the sender's; `rsa-*` with the padding of PKCS #1 v1.5 (RFC 8017 section 8.2). */
export interface PublicKeyRule extends DeclaredRule {
  readonly scheme: 'public-key';
  readonly algorithm: 'rsa-sha256' | 'rsa-sha512' | 'ed25519';
  /** `jws`: a JWS whose payload, the body, is left out of it (RFC 7515 appendix F). */
  readonly encoding: 'hex' | 'base64' | 'base64url' | 'jws';
}

/** No signature at all: a header that equals the secret. */
export interface TokenRule {
  readonly scheme: 'token';
  /** In lower case. */
  readonly header: string;
  /** The header that names the event; the token vouches for it as much as for the body. */
  readonly id: string | undefined;
}

/** Where the parts of a signature stand, and what was signed. Header names in lower case. */
export interface DeclaredRule {
  readonly header: string;
  /** What stands before each signature, as `sha256=`. */
  readonly prefix: string;
  /** What stands between the elements of the header; `undefined`: it holds one signature. */
  readonly separator: string | undefined;
  readonly content: readonly ContentPiece[];
  readonly timestamp: TimestampRule | undefined;
  readonly toleranceMs: number;
  readonly id: EventIdRule;
  /** With `form`: the query parameter that holds the SHA-256 of a body that is no form. */
  readonly bodyHash: string | undefined;
  /** What `url` begins with, as the sender knows it; `undefined`: https:// and the Host field. */
  readonly origin: string | undefined;
}

/** A part of what was signed. */
export type ContentPiece = { readonly text: string } | { readonly place: ContentPlace };

/** `form`: the fields of a form, sorted by name, names and values one behind the other. */
export type ContentPlace = 'timestamp' | 'id' | 'method' | 'url' | 'body' | 'form';

/** Where the time of signing stands: a header, an element of the signature's header, or a member of the signed body. */
export type TimestampRule = { readonly unitMs: 1 | 1000 } & (
  | { readonly header: string }
  | { readonly element: string }
  | { readonly body: readonly string[] }
);

/**
 * By what an event is known when it comes again. Only what is signed will do, or whoever replays a message would change
 * it: a header that is part of the signed content, a member of the signed body, or the digest of all that is signed.
 * `none`: copies are not told from new events.
 */
export type EventIdRule =
  | { readonly from: 'content' }
  | { readonly from: 'none' }
  | { readonly from: 'header'; readonly name: string }
  | { readonly from: 'body'; readonly path: readonly string[] };
