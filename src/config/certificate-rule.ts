import type { CertificateRule, Mode } from '../settings.ts';
import { either, list, section } from './issues.ts';
import { optionalMode } from './modes.ts';
import { readHostName } from './names.ts';
import { scalar, type Wrong, word, wrong } from './values.ts';

const RULE = 'a mapping with names, fingerprints or public_keys';
const CERTIFICATE = `none, or ${RULE}`;

const certificateName = scalar<string>({
  expected: 'a name in a certificate, such as DNS:codat.example.com, URI:…, email:… or CN:…',
  read: readName,
});

const digest = scalar<string>({
  expected: 'sha256: and 64 hexadecimal digits',
  pattern: 'sha256:[\\da-fA-F:]{64,95}',
  read(value) {
    const match = /^sha256:([\da-f]{64}|[\da-f]{2}(?::[\da-f]{2}){31})$/i.exec(value);
    return match?.[1] === undefined ? undefined : `sha256:${match[1].replaceAll(':', '').toLowerCase()}`;
  },
});

const shape = {
  names: list(certificateName, 'names such as ["DNS:codat.example.com"]')
    .optional()
    .describe(
      'Names, one of which the certificate must hold: DNS:, URI:, email: or CN:, exact; bare means DNS:.',
    ),
  fingerprints: list(digest, 'fingerprints such as ["sha256:…"]')
    .optional()
    .describe('SHA-256 fingerprints, one of which the certificate must have.'),
  public_keys: list(digest, 'public keys such as ["sha256:…"]')
    .optional()
    .describe("SHA-256 of the certificate's public key (SPKI); survives a renewal with the same key."),
};

const NOTHING = 'asks for nothing in particular; give names, fingerprints or public_keys, or remove the key';

function asksFor({ names, fingerprints, publicKeys }: CertificateRule): CertificateInput['asks'] {
  return names === undefined && fingerprints === undefined && publicKeys === undefined ? 'any' : 'listed';
}

/** What a certificate must hold. */
export const certificateLists = section(shape, RULE).transform(
  ({ names, fingerprints, public_keys: publicKeys }, context): CertificateRule => {
    const rule = { names, fingerprints, publicKeys };
    if (asksFor(rule) === 'any') context.addIssue({ code: 'custom', message: NOTHING });
    return rule;
  },
);

const ruleSchema = section({ ...shape, mode: optionalMode() }, CERTIFICATE).transform(
  ({ names, fingerprints, public_keys: publicKeys, mode: given }, context): CertificateInput => {
    const rule = { names, fingerprints, publicKeys };
    const asks = asksFor(rule);
    if (asks === 'any' && given === undefined) context.addIssue({ code: 'custom', message: NOTHING });
    return { rule, asks, mode: given ?? 'enforce' };
  },
);

/** What a route asks of the certificate, as it is written. */
export interface CertificateInput {
  readonly rule: CertificateRule;
  /** `any`: that client_ca vouches for it is enough. */
  readonly asks: 'any' | 'listed';
  readonly mode: Mode;
}

/** What a route asks of the client certificate, or `none`. */
export const certificateRule = either([word(['none'], CERTIFICATE), ruleSchema], CERTIFICATE);

/** @see https://www.rfc-editor.org/rfc/rfc5280 section 4.2.1.6; names of a DNS kind compare without case */
function readName(value: string): string | Wrong {
  const match = /^([A-Za-z][A-Za-z0-9]*):(.*)$/s.exec(value);
  const type = match?.[1] ?? 'DNS';
  const name = match?.[2] ?? value;
  if (name.trim() === '' || name !== name.trim())
    return { wrong: 'the name is empty or has white space at an end' };
  if (type === 'DNS') {
    const host = readHostName(name);
    return typeof host === 'string' ? `DNS:${host}` : host;
  }
  if (name.includes('*'))
    return wrong('names are compared exactly, so * stands for nothing; write each name out');
  if (type === 'URI' || type === 'email' || type === 'CN') return `${type}:${name}`;
  const meant = ['DNS:', 'URI:', 'email:', 'CN:'].find(
    (known) => known.toLowerCase() === `${type.toLowerCase()}:`,
  );
  return {
    wrong: meant === undefined ? 'other kinds of names are not compared' : `write ${meant} in this case`,
  };
}
