import { isSecret, type Secret, secretOf } from '../compare.ts';
import { type Fields, fieldCount, fieldValue } from '../fields.ts';
import type { Credential } from '../settings.ts';
import { type Check, type Head, PASS, type Refusal, type Verdict } from '../types.ts';

type Finding = 'right' | 'missing' | 'repeated' | 'malformed' | 'wrong';

/** How one presented credential compares with one that is expected. */
type Compare = (fields: Fields) => Finding;

/**
 * Lets in requests that carry one of the credentials. Every credential is compared, in constant time, whatever the
 * others gave. Without credentials only a repeated Authorization field is refused: two parsers would read it
 * differently, and the upstream is one of them.
 */
export function authorizationCheck(credentials: readonly Credential[]): Check<Head> {
  const compares = credentials.map(compareWith);
  const challenges = challengesFor(credentials);
  const refusals = {
    missing: refusal('authorization.missing', challenges),
    repeated: refusal('authorization.repeated', challenges),
    malformed: refusal('authorization.malformed', challenges),
    wrong: refusal('authorization.wrong', challenges),
  };
  return {
    name: 'authorization',
    examine: ({ headers }) => {
      if (fieldCount(headers, 'authorization') > 1) return refusals.repeated;
      const findings = compares.map((compare) => compare(headers));
      if (findings.length === 0 || findings.includes('right')) return PASS;
      if (findings.includes('repeated')) return refusals.repeated;
      if (findings.includes('wrong')) return refusals.wrong;
      return findings.includes('malformed') ? refusals.malformed : refusals.missing;
    },
  };
}

/** A repeated Authorization field is no credential that is wrong, but a request that two parsers read differently. */
export const examineSyntax = authorizationCheck([]).examine as (head: Head) => Verdict;

function compareWith(credential: Credential): Compare {
  if (credential.kind === 'header') return compareField(credential.name, secretOf(credential.value));
  const expected =
    credential.kind === 'bearer'
      ? secretOf(credential.token)
      : secretOf(`${credential.username}:${credential.password}`);
  const present = credential.kind === 'bearer' ? bearerToken : basicPair;
  return (fields) => {
    const value = fieldValue(fields, 'authorization');
    if (value === undefined) return 'missing';
    const presented = present(value);
    if (typeof presented === 'string') return presented;
    return isSecret(expected, presented) ? 'right' : 'wrong';
  };
}

function compareField(name: string, expected: Secret): Compare {
  return (fields) => {
    const count = fieldCount(fields, name);
    if (count > 1) return 'repeated';
    const value = fieldValue(fields, name);
    if (value === undefined) return 'missing';
    return isSecret(expected, Buffer.from(value, 'latin1')) ? 'right' : 'wrong';
  };
}

/** RFC 9110 section 11.4: scheme, spaces, credentials; the scheme in any case. */
const CREDENTIALS = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) +([\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff]*))$/;

/** RFC 6750 section 2.1. A value of another scheme is a wrong credential, not a malformed one. */
function bearerToken(value: string): Buffer | Finding {
  const [, scheme, token] = CREDENTIALS.exec(value) ?? [];
  if (scheme === undefined || token === undefined) return 'malformed';
  return scheme.toLowerCase() === 'bearer' ? Buffer.from(token, 'latin1') : 'wrong';
}

/** RFC 7617 section 2: the bytes `username:password`, in canonical base64 only. */
function basicPair(value: string): Buffer | Finding {
  const [, scheme, encoded] = CREDENTIALS.exec(value) ?? [];
  if (scheme === undefined || encoded === undefined) return 'malformed';
  if (scheme.toLowerCase() !== 'basic') return 'wrong';
  const pair = Buffer.from(encoded, 'base64');
  return pair.toString('base64') === encoded && pair.includes(0x3a) ? pair : 'malformed';
}

function refusal(reason: Refusal['reason'], headers: readonly string[]): Refusal {
  return Object.freeze({ reason, headers });
}

/** RFC 9110 section 11.6.1: a 401 names the schemes that would do. */
function challengesFor(credentials: readonly Credential[]): readonly string[] {
  const schemes = new Set<string>();
  for (const { kind } of credentials) {
    if (kind === 'bearer') schemes.add('Bearer');
    else if (kind === 'basic') schemes.add('Basic realm="postern", charset="UTF-8"');
    else schemes.add('ApiKey realm="postern"');
  }
  if (schemes.size === 0) schemes.add('Bearer');
  return ['www-authenticate', [...schemes].join(', ')];
}
