import './reflect.ts';
import { createHash, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';

type Keys = webcrypto.CryptoKeyPair;
export type KeyKind = 'ec' | 'rsa';

const DAY_MS = 86_400_000;
const ALGORITHMS = {
  ec: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  rsa: {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
} as const;

export interface IssueOptions {
  readonly commonName?: string;
  /** The whole subject (`CN=a, O=b`), instead of `commonName`. */
  readonly subject?: string;
  readonly names?: readonly { readonly type: 'dns' | 'url' | 'email' | 'ip'; readonly value: string }[];
  readonly key?: KeyKind;
  /** Days from now; negative for the past. */
  readonly fromDays?: number;
  /** Days from now; negative for a certificate that has expired. */
  readonly untilDays?: number;
  /** Milliseconds since the epoch, instead of `untilDays`. */
  readonly untilMs?: number;
  readonly usage?: 'client' | 'server' | 'none';
  /** Renew an earlier certificate: the same key pair. */
  readonly sameKeyAs?: Identity;
}

/** A leaf with its key, ready for `tls.connect` or a file. */
export interface Identity {
  /** The leaf, then the intermediates; no root. */
  readonly certificate: string;
  /** PKCS#8, PEM. */
  readonly key: string;
  /** `sha256:` and 64 lower-case hexadecimal digits of the leaf's DER. */
  readonly fingerprint: string;
  /** `sha256:` and 64 lower-case hexadecimal digits of the leaf's SubjectPublicKeyInfo. */
  readonly publicKey: string;
  readonly leaf: X509Certificate;
  readonly keys: Keys;
}

export interface Authority {
  readonly certificate: string;
  issue(options?: IssueOptions): Promise<Identity>;
  intermediate(commonName: string, options?: { untilMs?: number }): Promise<Authority>;
  /** Another certificate of its own name and key, which it has issued itself, PEM. */
  again(): Promise<string>;
  /** A certificate for another authority's name and key, as if this one had issued it, PEM. */
  twin(authority: Authority): Promise<string>;
  /** A certificate revocation list, PEM. */
  revoke(revoked: readonly Revoked[], options?: { untilMs?: number }): Promise<string>;
}

/** What a revocation list names: a leaf, or an intermediate's certificate. */
export type Revoked = { readonly leaf: X509Certificate } | { readonly certificate: string };

/** A new root certificate authority with an EC key. */
export async function createAuthority(
  commonName: string,
  options: { untilDays?: number } = {},
): Promise<Authority> {
  const keys = await generateKeys('ec');
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serial(),
      name: `CN=${commonName}`,
      notBefore: daysFromNow(-10),
      notAfter: daysFromNow(options.untilDays ?? 10),
      signingAlgorithm: ALGORITHMS.ec,
      keys,
      extensions: await authorityExtensions(keys),
    },
    webcrypto as Crypto,
  );
  return authority(certificate, keys, []);
}

function authority(certificate: x509.X509Certificate, keys: Keys, above: readonly string[]): Authority {
  const issuer = { subject: certificate.subject, key: keys.privateKey };
  return {
    certificate: pem(certificate),
    async issue(options = {}) {
      const own = options.sameKeyAs?.keys ?? (await generateKeys(options.key ?? 'ec'));
      const leaf = await sign(issuer, own, {
        subject: options.subject ?? `CN=${options.commonName ?? 'client'}`,
        from: daysFromNow(options.fromDays ?? -5),
        until:
          options.untilMs === undefined ? daysFromNow(options.untilDays ?? 5) : new Date(options.untilMs),
        extensions: leafExtensions(options),
      });
      return identity(leaf, own, above);
    },
    async again() {
      const made = await sign({ ...issuer, subject: certificate.subject }, keys, {
        subject: certificate.subject,
        from: daysFromNow(-5),
        until: daysFromNow(5),
        extensions: await authorityExtensions(keys),
      });
      return pem(made);
    },
    async twin(of) {
      const original = new x509.X509Certificate(of.certificate);
      const publicKey = await original.publicKey.export(webcrypto as Crypto);
      const made = await x509.X509CertificateGenerator.create(
        {
          serialNumber: serial(),
          subject: original.subject,
          issuer: original.issuer,
          notBefore: daysFromNow(-5),
          notAfter: daysFromNow(5),
          publicKey,
          signingKey: keys.privateKey,
          signingAlgorithm: ALGORITHMS.ec,
          extensions: original.extensions,
        },
        webcrypto as Crypto,
      );
      return pem(made);
    },
    async revoke(revoked, options = {}) {
      const list = await x509.X509CrlGenerator.create(
        {
          issuer: certificate.subject,
          thisUpdate: daysFromNow(-1),
          nextUpdate: options.untilMs === undefined ? daysFromNow(5) : new Date(options.untilMs),
          entries: revoked.map((one) => ({ serialNumber: serialOf(one), revocationDate: daysFromNow(-1) })),
          signingKey: keys.privateKey,
          signingAlgorithm: ALGORITHMS.ec,
          extensions: [
            await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey, false, webcrypto as Crypto),
          ],
        },
        webcrypto as Crypto,
      );
      // RFC 7468 section 6 has another label than the library.
      return `${list.toString('pem').trimEnd().replaceAll(' CRL-', ' X509 CRL-')}\n`;
    },
    async intermediate(commonName, options = {}) {
      const own = await generateKeys('ec');
      const made = await sign(issuer, own, {
        subject: `CN=${commonName}`,
        from: daysFromNow(-5),
        until: options.untilMs === undefined ? daysFromNow(5) : new Date(options.untilMs),
        extensions: await authorityExtensions(own),
      });
      return authority(made, own, [pem(made), ...above]);
    },
  };
}

async function sign(
  issuer: { subject: string; key: webcrypto.CryptoKey },
  keys: Keys,
  what: { subject: string; from: Date; until: Date; extensions: x509.Extension[] },
): Promise<x509.X509Certificate> {
  return await x509.X509CertificateGenerator.create(
    {
      serialNumber: serial(),
      subject: what.subject,
      issuer: issuer.subject,
      notBefore: what.from,
      notAfter: what.until,
      publicKey: keys.publicKey,
      signingKey: issuer.key,
      signingAlgorithm: ALGORITHMS.ec,
      extensions: what.extensions,
    },
    webcrypto as Crypto,
  );
}

function leafExtensions(options: IssueOptions): x509.Extension[] {
  const usage = options.usage ?? 'client';
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
  ];
  if (usage !== 'none') {
    const purpose = usage === 'client' ? x509.ExtendedKeyUsage.clientAuth : x509.ExtendedKeyUsage.serverAuth;
    extensions.push(new x509.ExtendedKeyUsageExtension([purpose]));
  }
  if (options.names !== undefined) {
    extensions.push(new x509.SubjectAlternativeNameExtension(options.names.map((name) => ({ ...name }))));
  }
  return extensions;
}

async function authorityExtensions(keys: Keys): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(true, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto as Crypto),
  ];
}

async function identity(leaf: x509.X509Certificate, keys: Keys, above: readonly string[]): Promise<Identity> {
  const read = new X509Certificate(pem(leaf));
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    certificate: [pem(leaf), ...above].join(''),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`,
    fingerprint: `sha256:${sha256(read.raw)}`,
    publicKey: `sha256:${sha256(read.publicKey.export({ type: 'spki', format: 'der' }))}`,
    leaf: read,
    keys,
  };
}

async function generateKeys(kind: KeyKind): Promise<Keys> {
  return (await webcrypto.subtle.generateKey(ALGORITHMS[kind], true, ['sign', 'verify'])) as Keys;
}

const serialOf = (one: Revoked): string =>
  'leaf' in one ? one.leaf.serialNumber : new X509Certificate(one.certificate).serialNumber;
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const pem = (certificate: x509.X509Certificate): string => `${certificate.toString('pem').trimEnd()}\n`;
const daysFromNow = (days: number): Date => new Date(Date.now() + days * DAY_MS);
// The leading 01 keeps the serial number positive and free of a leading zero byte.
const serial = (): string => `01${randomBytes(8).toString('hex')}`;

/** One authority, one server certificate (localhost, 127.0.0.1, ::1) and one client, made once per process. */
export interface Defaults {
  readonly authority: Authority;
  readonly server: Identity;
  readonly client: Identity;
}

let made: Promise<Defaults> | undefined;

/** The certificates that every gateway and sender of a test uses unless told otherwise. */
export function defaults(): Promise<Defaults> {
  made ??= makeDefaults();
  return made;
}

async function makeDefaults(): Promise<Defaults> {
  const authority = await createAuthority('Test CA');
  const [server, client] = await Promise.all([
    authority.issue({
      commonName: 'localhost',
      usage: 'server',
      names: [
        { type: 'dns', value: 'localhost' },
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '::1' },
      ],
    }),
    authority.issue({ commonName: 'sender', names: [{ type: 'dns', value: 'sender.example.com' }] }),
  ]);
  return { authority, server, client };
}
