import type { z } from 'zod';
import { either, list, section } from './issues.ts';
import { mode } from './modes.ts';
import { readHostName, readSenderField } from './names.ts';
import { duration, scalar, word } from './values.ts';

export const SCHEMES = ['standard-webhooks', 'hmac', 'public-key', 'token'] as const;

const header = () =>
  scalar<string>({
    expected: 'a header name such as x-hub-signature-256',
    quiet: true,
    read: readSenderField,
  });

/** Visible ASCII, which is all that a header's value is made of. */
const marks = (expected: string) =>
  scalar<string>({
    expected,
    // Here and below: somebody may have written the secret itself.
    quiet: true,
    read: (value) => (/^[\x20-\x7e]{1,64}$/.test(value) ? value : undefined),
  });

export const keyPath = () =>
  scalar<readonly string[]>({
    expected: 'the path of a key in the message, such as payload.tags',
    read: (value) => (/^[^.\s]+(?:\.[^.\s]+)*$/.test(value) ? value.split('.') : undefined),
  });

const timestamp = section(
  {
    header: header().optional().describe('The header that holds it.'),
    element: marks('what stands before the time in the signature header, such as t=')
      .optional()
      .describe('With separator: what begins the element of the signature header that holds it, such as t=.'),
    body: keyPath().optional().describe('Where it stands in the signed message, as a number.'),
    unit: word(['s', 'ms']).prefault('s').describe('Whether it counts seconds or milliseconds.'),
  },
  'a mapping with header, element or body',
);

const ID = 'content, none, or a mapping with header or body';

const id = either(
  [
    word(['content', 'none'], ID),
    section(
      {
        header: header().optional().describe('The header that holds it; with a signature, {id} in content.'),
        body: keyPath().optional().describe('Where it stands in the signed message, as a text.'),
      },
      ID,
    ),
  ],
  ID,
);

/** The keys by which a scheme is declared. */
const declaredShape = {
  headers: word(['webhook', 'svix'])
    .optional()
    .describe('standard-webhooks: the prefix of its three headers; default: webhook.'),
  header: header().optional().describe('The header that holds the signature, or the token.'),
  algorithm: word(['sha256', 'sha1', 'sha512', 'rsa-sha256', 'rsa-sha512', 'ed25519'])
    .optional()
    .describe('hmac: sha256 (the default), sha1 or sha512; public-key: rsa-sha256, rsa-sha512 or ed25519.'),
  encoding: word(['hex', 'base64', 'base64url', 'jws'])
    .optional()
    .describe(
      'How a signature is written; default: hex with hmac, base64 with public-key; jws: a JWS without its payload.',
    ),
  prefix: marks('what stands before a signature, such as sha256=')
    .optional()
    .describe('What stands before a signature in the header, such as sha256=.'),
  separator: marks('what stands between signatures, such as ","')
    .optional()
    .describe('What stands between the elements of the header; left out where it holds one signature.'),
  content: scalar<string>({
    expected: 'what is signed, such as "{timestamp}.{body}"',
    quiet: true,
    read: (value) => (/^[\x20-\x7e\n]{1,256}$/.test(value) ? value : undefined),
  })
    .optional()
    .describe(
      'What is signed: text with {body} or {form}, and {timestamp}, {id}, {method}, {url}; default: "{body}".',
    ),
  timestamp: timestamp
    .optional()
    .describe('Where the time of signing stands; left out where none is signed.'),
  tolerance: duration()
    .optional()
    .describe(
      "How far the signed timestamp may be from the gateway's clock; default: the sender's, else 5m.",
    ),
  id: id
    .optional()
    .describe(
      'By what a copy of an event is known: content (a digest of what is signed; the default), a signed header, a member of the signed body, or none.',
    ),
  secret_encoding: word(['text', 'hex', 'base64'])
    .optional()
    .describe('hmac: how its secrets are written; default: text.'),
  body_hash: scalar<string>({
    expected: 'the name of a query parameter such as bodySHA256',
    quiet: true,
    read: (value) => (/^[\w-]{1,64}$/.test(value) ? value : undefined),
  })
    .optional()
    .describe('With {form}: the query parameter that holds the SHA-256 of a body that is no form.'),
};

/** How a sender signs, in its profile. */
export const declaredSchema = section(
  { scheme: word(SCHEMES).describe('The signature scheme.'), ...declaredShape },
  'a mapping with scheme, and what belongs to it',
);

const origin = scalar<string>({
  expected: 'the beginning of a URL such as https://hooks.example.com',
  read(value) {
    const [, host] = /^https?:\/\/([^/:]+)(?::\d{1,5})?$/.exec(value) ?? [];
    return host !== undefined && typeof readHostName(host) === 'string' ? value : undefined;
  },
});

export const secretTexts = () =>
  list(
    scalar<string>({
      expected: 'a secret',
      secret: true,
      read: (value) => (value === '' ? { wrong: 'it is empty' } : value),
    }),
    'a list of secrets such as ["whsec_…"]',
  );

export const publicKeyTexts = () =>
  list(
    scalar<string>({ expected: 'a public key in PEM', quiet: true, read: (value) => value || undefined }),
    'a list of public keys in PEM',
  );

/** How a route's messages are signed. */
export const signatureSchema = section(
  {
    scheme: word(SCHEMES)
      .optional()
      .describe(
        "The signature scheme; with it the keys that belong to it, and without it the sender's, else standard-webhooks.",
      ),
    secrets: secretTexts()
      .optional()
      .describe(
        'The secrets, any of which may have signed; with standard-webhooks whsec_ and base64, whpk_ and base64, or bare base64.',
      ),
    public_keys: publicKeyTexts()
      .optional()
      .describe("public-key: the sender's public keys in PEM, any of which may verify."),
    origin: origin
      .optional()
      .describe(
        'With {url}: what the URL begins with for the sender; default: https:// and the Host header.',
      ),
    ...declaredShape,
    mode: mode(),
  },
  'a mapping with secrets',
);

export type SignatureInput = Partial<z.output<typeof signatureSchema>>;
export type DeclaredInput = Omit<SignatureInput, 'scheme' | 'secrets' | 'public_keys' | 'origin' | 'mode'>;
