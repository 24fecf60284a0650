import type { Credential } from '../settings.ts';
import { either, list, section } from './issues.ts';
import { mode } from './modes.ts';
import { readCredentialField } from './names.ts';
import { fieldValue, scalar, type Wrong } from './values.ts';

const basic = section(
  {
    username: scalar<string>({ expected: 'a user name', secret: true, read: readUsername }).describe(
      'The user name.',
    ),
    password: fieldValue('a password', true).describe('The password.'),
  },
  'a mapping with username and password',
);

const header = section(
  {
    name: scalar<string>({ expected: 'a header name', quiet: true, read: readCredentialField }).describe(
      'The name of the header.',
    ),
    value: fieldValue('a header value', true).describe('Its value.'),
  },
  'a mapping with name and value',
);

const CREDENTIAL = 'one of bearer, basic and header';

const credential = section(
  {
    bearer: fieldValue('a token of visible characters', true)
      .optional()
      .describe('The token of "Authorization: Bearer".'),
    basic: basic.optional().describe('The user name and password of "Authorization: Basic".'),
    header: header.optional().describe('A header of your own that carries the credential.'),
  },
  `a mapping with ${CREDENTIAL}`,
).transform(({ bearer, basic, header }, context): Credential => {
  const credentials: Credential[] = [];
  if (bearer !== undefined) credentials.push({ kind: 'bearer', token: bearer });
  if (basic !== undefined) credentials.push({ kind: 'basic', ...basic });
  if (header !== undefined) credentials.push({ kind: 'header', ...header });
  const [only, second] = credentials;
  if (only === undefined)
    context.addIssue({ code: 'custom', message: `names no credential; give ${CREDENTIAL}` });
  else if (second === undefined) return only;
  else
    context.addIssue({
      code: 'custom',
      message: `holds more than one credential; give each an entry of its own`,
    });
  return undefined as never;
});

/** RFC 7617 section 2: the first colon ends the user name. */
function readUsername(value: string): string | Wrong {
  if (value.includes(':')) return { wrong: 'a user name cannot hold a colon' };
  const field = /^[\x20-\x7e]+$/.test(value) && value === value.trim();
  return field
    ? value
    : { wrong: 'it is empty, or holds a control or non-ASCII character or white space at an end' };
}

const CREDENTIALS = `a list of entries with ${CREDENTIAL}`;
const credentials = list(credential, CREDENTIALS);
const moded = section(
  { list: credentials.describe('The credentials, any one of which suffices.'), mode: mode() },
  CREDENTIALS,
);

/** The credentials of a route, in a list or beside a mode. */
export const authorizationSchema = either([credentials, moded], CREDENTIALS);
