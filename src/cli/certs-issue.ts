import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import forge from 'node-forge';
import { CliError } from './exit.ts';

const DAY_MS = 86_400_000;
/** Clocks of two machines differ: a certificate is valid from a few minutes ago. */
const BACKDATED_MS = 5 * 60_000;
const CA_SUBJECT = [
  { name: 'commonName', value: 'Postern test CA' },
  { name: 'organizationName', value: 'Postern' },
];

/** A certificate authority that can sign: its certificate and key, both as forge has them. */
export interface Authority {
  readonly certificate: forge.pki.Certificate;
  readonly key: forge.pki.rsa.PrivateKey;
}

/** What a leaf certificate is to say. */
export interface LeafRequest {
  readonly commonName: string;
  /** DNS names and IP addresses, as text. */
  readonly names: readonly string[];
  readonly usage: 'serverAuth' | 'clientAuth';
  readonly days: number;
}

/** A new RSA key of 2048 bits in PKCS #8 PEM, made by the runtime's own generator off the main thread. */
export function makeKey(): Promise<string> {
  return new Promise((resolve, reject) => {
    forge.pki.rsa.generateKeyPair({ bits: 2048 }, (error, pair) => {
      if (error) return reject(error);
      const info = forge.pki.wrapRsaPrivateKey(forge.pki.privateKeyToAsn1(pair.privateKey));
      resolve(unixLines(forge.pki.privateKeyInfoToPem(info)));
    });
  });
}

/** The certificate, in PEM, of an authority that signs itself, for `keyPem`. */
export function issueCa(keyPem: string, keyFile: string, days: number): string {
  const key = readKey(keyPem, keyFile);
  const certificate = blankCertificate(publicOf(key), days);
  certificate.setSubject(CA_SUBJECT);
  certificate.setIssuer(CA_SUBJECT);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return signed(certificate, key);
}

/** A leaf certificate in PEM for `keyPem`, signed by `authority`; it never outlives the authority. */
export function issueLeaf(
  authority: Authority,
  keyPem: string,
  keyFile: string,
  request: LeafRequest,
): string {
  const certificate = blankCertificate(publicOf(readKey(keyPem, keyFile)), request.days);
  const authorityEnds = authority.certificate.validity.notAfter;
  if (authorityEnds < certificate.validity.notAfter) certificate.validity.notAfter = authorityEnds;
  certificate.setSubject([{ name: 'commonName', value: request.commonName }]);
  certificate.setIssuer(authority.certificate.subject.attributes);
  certificate.setExtensions([
    { name: 'basicConstraints', cA: false, critical: true },
    { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
    { name: 'extKeyUsage', [request.usage]: true },
    { name: 'subjectAltName', altNames: request.names.map(alternativeName) },
    { name: 'subjectKeyIdentifier' },
    {
      name: 'authorityKeyIdentifier',
      keyIdentifier: authority.certificate.generateSubjectKeyIdentifier().getBytes(),
    },
  ]);
  return signed(certificate, authority.key);
}

/**
 * The authority in two files' texts.
 * @throws CliError where it cannot sign: not a CA, not RSA, expired, or a key of another certificate.
 */
export function readAuthority(
  certificatePem: string,
  certificateFile: string,
  keyPem: string,
  keyFile: string,
): Authority {
  const facts = readCertificate(certificatePem, certificateFile);
  const key = readKey(keyPem, keyFile);
  if (!facts.ca)
    throw new CliError(`${certificateFile} is not the certificate of a CA, so it cannot sign others`);
  if (facts.publicKey.asymmetricKeyType !== 'rsa')
    throw new CliError(`${certificateFile} has no RSA key; this command signs with RSA only`);
  if (!facts.checkPrivateKey(createPrivateKey(keyPem)))
    throw new CliError(`${keyFile} is not the private key of ${certificateFile}`);
  if (facts.validToDate.getTime() <= Date.now())
    throw new CliError(
      `${certificateFile} expired on ${facts.validToDate.toISOString().slice(0, 10)}; use a new folder`,
    );
  return { certificate: forge.pki.certificateFromPem(certificatePem), key };
}

/** @throws CliError where the text is no certificate */
export function readCertificate(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new CliError(`${file} is not a certificate in PEM; remove it to make it anew`);
  }
}

function readKey(pem: string, file: string): forge.pki.rsa.PrivateKey {
  try {
    return forge.pki.privateKeyFromPem(pem);
  } catch {
    throw new CliError(`${file} is not an unencrypted RSA private key in PEM; remove it to make it anew`);
  }
}

function publicOf(key: forge.pki.rsa.PrivateKey): forge.pki.rsa.PublicKey {
  return forge.pki.setRsaPublicKey(key.n, key.e);
}

function blankCertificate(publicKey: forge.pki.rsa.PublicKey, days: number): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  const nowMs = Date.now();
  certificate.publicKey = publicKey;
  certificate.serialNumber = randomSerial();
  certificate.validity.notBefore = new Date(nowMs - BACKDATED_MS);
  certificate.validity.notAfter = new Date(nowMs + days * DAY_MS);
  return certificate;
}

/** 16 random octets, positive and without a leading zero octet (RFC 5280, section 4.1.2.2). */
function randomSerial(): string {
  const octets = randomBytes(16);
  octets[0] = ((octets[0] ?? 0) & 0x7f) | 0x40;
  return octets.toString('hex');
}

function alternativeName(name: string): { type: number; ip?: string; value?: string } {
  return isIP(name) ? { type: 7, ip: name } : { type: 2, value: name };
}

function signed(certificate: forge.pki.Certificate, key: forge.pki.rsa.PrivateKey): string {
  certificate.sign(key, forge.md.sha256.create());
  return unixLines(forge.pki.certificateToPem(certificate));
}

function unixLines(pem: string): string {
  return pem.replaceAll('\r\n', '\n');
}
