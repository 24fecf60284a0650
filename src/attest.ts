import { hash } from 'node:crypto';
import { SignJWT } from 'jose/jwt/sign';
import type { Checks } from './check/index.ts';
import type { AttestSettings, RouteSettings } from './settings.ts';

/** Enough for an upstream that is busy or a little behind, too little to keep an attestation for later. */
const VALID_S = 60;
/** So that a token for another purpose, signed by the same secret, is not taken for one of these (RFC 8725 section 3.11). */
const TYPE = 'postern+jwt';

/**
 * Compiles the gateway's word to an upstream that a request came through it, and unaltered: a field whose value is a
 * compact JWS (RFC 7515) over who sent it, by which route, what was checked, and the hash of the body.
 */
export function attester(
  settings: AttestSettings,
  route: RouteSettings,
  checks: Checks,
): (attested: Attested, target: string) => Promise<readonly string[]> {
  const header = { alg: settings.algorithm, typ: TYPE, ...(settings.keyId && { kid: settings.keyId }) };
  const key = signingKey(settings);
  const always = { route: route.name, sender: route.sender?.name };
  const proved = namesOf(checks, route);
  const unsigned = proved.filter((name) => name !== 'signature');
  return async (attested, target) => {
    const issuedS = Math.floor(Date.now() / 1000);
    const claims = {
      iss: 'postern',
      aud: route.upstream.name,
      jti: attested.id,
      iat: issuedS,
      exp: issuedS + VALID_S,
      ...always,
      checks: attested.isForced ? unsigned : proved,
      method: attested.method,
      path: target,
      cnf: confirmation(attested),
      client: attested.client,
      event_id: attested.isForced ? undefined : attested.messageId,
      body_sha256: hash('sha256', attested.body, 'base64url'),
    };
    return ['x-postern-attestation', await new SignJWT(claims).setProtectedHeader(header).sign(key)];
  };
}

function signingKey({ algorithm, key }: AttestSettings) {
  const name = algorithm === 'HS256' ? { name: 'HMAC', hash: 'SHA-256' } : { name: 'Ed25519' };
  return key.toCryptoKey(name, false, ['sign']);
}

/** What is vouched for. */
export interface Attested {
  /** The request's id. */
  readonly id: string;
  readonly method: string;
  readonly body: Buffer;
  /** The client certificate's, `sha256:` and hexadecimal digits. */
  readonly fingerprint: string | undefined;
  readonly messageId: string | undefined;
  /** `undefined`: none was proved. */
  readonly client: string | undefined;
  /** Its signature did not hold: nobody may be told that it was checked, or that the id is signed. */
  readonly isForced?: boolean;
}

/**
 * A request that is delivered has passed all of its route's checks that refuse; named are those that prove something of
 * the sender. What is in report mode may have failed.
 */
function namesOf({ head, message }: Checks, { authorization }: RouteSettings): readonly string[] {
  // Without credentials that check only refuses a repeated field; load and room are the gateway's own.
  const silent = authorization.length > 0 ? ['load', 'room'] : ['load', 'room', 'authorization'];
  return [...head, ...message]
    .filter(({ name, reports }) => reports !== true && !silent.includes(name))
    .map(({ name }) => name);
}

/** RFC 8705 section 3.1: the certificate by the SHA-256 of its DER. */
function confirmation({ fingerprint }: Attested): { 'x5t#S256': string } | undefined {
  if (fingerprint === undefined) return undefined;
  const digest = Buffer.from(fingerprint.replace(/^sha256:/, ''), 'hex');
  return { 'x5t#S256': digest.toString('base64url') };
}
