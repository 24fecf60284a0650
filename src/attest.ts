import { hash } from 'node:crypto';
import { SignJWT } from 'jose/jwt/sign';
import type { Checks } from './check/index.ts';
import type { AttestSettings, RouteSettings } from './settings.ts';
import type { Message } from './types.ts';

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
): (message: Message, target: string, messageId: string | undefined) => Promise<readonly string[]> {
  const header = { alg: settings.algorithm, typ: TYPE, ...(settings.keyId && { kid: settings.keyId }) };
  const key = signingKey(settings);
  const always = { route: route.name, sender: route.sender?.name, checks: namesOf(checks, route) };
  return async (message, target, messageId) => {
    const issuedS = Math.floor(Date.now() / 1000);
    const claims = {
      iss: 'postern',
      aud: route.upstream.name,
      jti: message.id,
      iat: issuedS,
      exp: issuedS + VALID_S,
      ...always,
      method: message.method,
      path: target,
      cnf: confirmation(message),
      event_id: messageId,
      body_sha256: hash('sha256', message.body, 'base64url'),
    };
    return ['x-postern-attestation', await new SignJWT(claims).setProtectedHeader(header).sign(key)];
  };
}

function signingKey({ algorithm, key }: AttestSettings) {
  const name = algorithm === 'HS256' ? { name: 'HMAC', hash: 'SHA-256' } : { name: 'Ed25519' };
  return key.toCryptoKey(name, false, ['sign']);
}

/** A request that is delivered has passed all of its route's checks; named are those that prove something of the sender. */
function namesOf({ head, message }: Checks, { authorization }: RouteSettings): readonly string[] {
  // Without credentials that check only refuses a repeated field; load is the gateway's own.
  const silent = authorization.length > 0 ? ['load'] : ['load', 'authorization'];
  return [...head, ...message].map(({ name }) => name).filter((name) => !silent.includes(name));
}

/** RFC 8705 section 3.1: the certificate by the SHA-256 of its DER. */
function confirmation({ peer }: Message): { 'x5t#S256': string } | undefined {
  const fingerprint = peer.certificate?.fingerprint.replace(/^sha256:/, '');
  return fingerprint === undefined
    ? undefined
    : { 'x5t#S256': Buffer.from(fingerprint, 'hex').toString('base64url') };
}
