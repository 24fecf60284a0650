import {
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  type X509Certificate,
} from 'node:crypto';
import {
  BIT_STRING,
  certificateNames,
  elementsIn,
  INTEGER,
  OBJECT_IDENTIFIER,
  readDer,
  SEQUENCE,
  UTC_TIME,
} from '../../der.ts';
import type { Identity } from '../send/post.ts';

/** An authority's own certificate and private key. */
export interface Issuer {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
}

/** What a made-up certificate says; its subject and names are always those of the real one. */
export interface Request {
  /** The sender's real certificate. */
  readonly like: X509Certificate;
  /** `undefined`: a key of its own, under the real issuer's name. */
  readonly issuer: Issuer | undefined;
  readonly fromMs: number;
  readonly untilMs: number;
  readonly usage: 'client' | 'server';
}

const OCTET_STRING = 0x04;
const [VERSION, EXTENSIONS] = [0xa0, 0xa3];
const OID = {
  keyUsage: '551d0f',
  subjectAlternativeName: '551d11',
  extendedKeyUsage: '551d25',
  client: '2b06010505070302',
  server: '2b06010505070301',
  ecdsaSha256: '2a8648ce3d040302',
  rsaSha256: '2a864886f70d01010b',
  ed25519: '2b6570',
} as const;

/**
 * Makes a certificate (RFC 5280) with a new key. Without an issuer it looks in every name as if the real one had made
 * it, so that a receiver that goes by names instead of signatures is found out.
 */
export function makeIdentity({ like, issuer, fromMs, untilMs, usage }: Request): Identity {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = certificateNames(like.raw);
  const signer = issuer?.key ?? own.privateKey;
  const algorithm = algorithmOf(signer);
  const tbs = element(
    SEQUENCE,
    element(VERSION, element(INTEGER, Buffer.of(2))),
    // What comes first keeps it positive, and in its shortest spelling.
    element(INTEGER, Buffer.of(0x40), randomBytes(15)),
    algorithm,
    Buffer.from(issuer ? certificateNames(issuer.certificate.raw).subject : names.issuer, 'hex'),
    element(SEQUENCE, time(fromMs), time(untilMs)),
    Buffer.from(names.subject, 'hex'),
    createPublicKey(own.privateKey).export({ format: 'der', type: 'spki' }),
    element(EXTENSIONS, element(SEQUENCE, ...extensions(like.raw, usage))),
  );
  const digest = signer.asymmetricKeyType === 'ed25519' ? undefined : 'sha256';
  const der = element(SEQUENCE, tbs, algorithm, element(BIT_STRING, Buffer.of(0), sign(digest, tbs, signer)));
  const base64 = der.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return {
    key: own.privateKey.export({ format: 'pem', type: 'pkcs8' }),
    certificate: `-----BEGIN CERTIFICATE-----\n${base64.trimEnd()}\n-----END CERTIFICATE-----\n`,
  };
}

function extensions(real: Buffer, usage: Request['usage']): Buffer[] {
  const purposes = element(SEQUENCE, oid(OID[usage]));
  return [
    // Bit 0, digitalSignature.
    extension(OID.keyUsage, element(BIT_STRING, Buffer.of(7, 0x80))),
    extension(OID.extendedKeyUsage, purposes),
    ...alternativeNames(real),
  ];
}

/** The real certificate's names, as they stand there. */
function alternativeNames(der: Buffer): Buffer[] {
  const certificate = readDer(der, 0, der.length);
  const tbs = readDer(der, certificate.content, certificate.end);
  const outer = elementsIn(der, tbs).find(({ tag }) => tag === EXTENSIONS);
  if (outer === undefined) return [];
  const wanted = oid(OID.subjectAlternativeName);
  return elementsIn(der, readDer(der, outer.content, outer.end))
    .map(({ start, end, content }) => ({
      whole: der.subarray(start, end),
      inner: der.subarray(content, end),
    }))
    .filter(({ inner }) => inner.subarray(0, wanted.length).equals(wanted))
    .map(({ whole }) => whole);
}

function algorithmOf(key: KeyObject): Buffer {
  if (key.asymmetricKeyType === 'ed25519') return element(SEQUENCE, oid(OID.ed25519));
  if (key.asymmetricKeyType === 'ec') return element(SEQUENCE, oid(OID.ecdsaSha256));
  return element(SEQUENCE, oid(OID.rsaSha256), Buffer.of(5, 0));
}

function extension(id: string, value: Buffer): Buffer {
  return element(SEQUENCE, oid(id), element(OCTET_STRING, value));
}

function oid(hex: string): Buffer {
  return element(OBJECT_IDENTIFIER, Buffer.from(hex, 'hex'));
}

/** `YYMMDDHHMMSSZ`, which RFC 5280 wants until 2049. */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return element(UTC_TIME, Buffer.from(text.slice(2)));
}

function element(tag: number, ...parts: readonly Buffer[]): Buffer {
  const contents = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(tag), length(contents.length), contents]);
}

function length(bytes: number): Buffer {
  if (bytes < 0x80) return Buffer.of(bytes);
  if (bytes < 0x100) return Buffer.of(0x81, bytes);
  return Buffer.of(0x82, bytes >> 8, bytes & 0xff);
}
