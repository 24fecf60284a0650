import { createPrivateKey, createSecretKey } from 'node:crypto';
import type { AttestSettings } from '../settings.ts';
import { section } from './issues.ts';
import { readFieldValue, scalar, text, type Wrong, wrong } from './values.ts';

type Key = Pick<AttestSettings, 'algorithm' | 'key'>;

/** RFC 7518 section 3.2: a key of HS256 is no shorter than its hash. */
const FEWEST_BYTES = 32;
/** A path where its file's text belongs; base64 has no dot. */
const PATH = /^\.{1,2}\/|\.(?:pem|key|txt|jwk|der)$/i;
const MAKE = 'make one with: openssl genpkey -algorithm ed25519 -out attest.key';

/** How the gateway vouches to an upstream for what it lets through. */
export const attestSchema = section(
  {
    key: scalar<Key>({
      expected: 'an Ed25519 private key in PEM, or a shared secret of at least 32 bytes',
      secret: true,
      read: readAttestKey,
    }).describe(
      "What signs: an Ed25519 private key's PEM text (EdDSA), or a secret of at least 32 bytes that the upstream shares (HS256).",
    ),
    key_id: text('a name of the key such as 2026-01', true)
      .optional()
      .describe('The name of the key (kid), so that upstreams can tell an old one from a new one.'),
  },
  'a mapping with key and key_id',
);

/** @returns the key, or what is wrong with it in a sentence that does not hold it */
export function readAttestKey(text: string): Key | Wrong {
  if (text.includes('-----BEGIN')) return readPemKey(text);
  if (text.trimStart().startsWith('{'))
    return wrong('a key in JSON (JWK) is not read; give an Ed25519 private key in PEM');
  if (PATH.test(text))
    return wrong(`this is a path, and no secret; write "\${file:PATH}" for the text of a file`);
  const field = readFieldValue(text);
  if (typeof field !== 'string') return field;
  const bytes = Buffer.from(field);
  if (bytes.length >= FEWEST_BYTES) return { algorithm: 'HS256', key: createSecretKey(bytes) };
  return wrong(
    `the secret has ${bytes.length} bytes, and HS256 needs at least ${FEWEST_BYTES}; make one with: openssl rand -base64 48`,
  );
}

function readPemKey(pem: string): Key | Wrong {
  const labels = [...pem.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----/g)].map(([, label = '']) => label);
  if (labels.length > 1)
    return wrong(`the text holds ${labels.length} keys or certificates; leave the one private key`);
  const [label = ''] = labels;
  if (label.endsWith('PUBLIC KEY'))
    return wrong(
      'a public key verifies and belongs to the upstream; give the private key that it was made from',
    );
  if (label.endsWith('CERTIFICATE'))
    return wrong(`a certificate signs nothing; give an Ed25519 private key, ${MAKE}`);
  if (label.startsWith('ENCRYPTED') || pem.includes('Proc-Type: 4,ENCRYPTED'))
    return wrong(
      'the private key is encrypted, and at start nobody is there to type its passphrase; decrypt it with: openssl pkey',
    );
  try {
    const key = createPrivateKey(pem);
    const { asymmetricKeyType: type } = key;
    if (type === 'ed25519') return { algorithm: 'EdDSA', key };
    return wrong(`a private key of the kind ${type} does not attest; give an Ed25519 private key, ${MAKE}`);
  } catch {
    return wrong(
      `the private key cannot be read; give it whole and with its line breaks, best by "\${file:PATH}"; or ${MAKE}`,
    );
  }
}
