import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  type webcrypto,
} from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import '../support/reflect.ts';
import * as x509 from '@peculiar/x509';
import forge from 'node-forge';

const FROM = new Date('2020-01-01T00:00:00Z');
const FAR = new Date('2099-01-01T00:00:00Z');
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** Makes every certificate and key file that the golden configurations name; returns their folder. */
export async function makeCertificateFolder(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-config-'));
  const put = (name: string, content: string | Buffer, mode = 0o600): void =>
    writeFileSync(join(folder, name), content, { mode });
  const [caKeys, serverKeys, otherKeys] = await Promise.all([newKeys(), newKeys(), newKeys()]);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Golden CA',
    notBefore: FROM,
    notAfter: FAR,
    keys: caKeys,
    signingAlgorithm: EC,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const secondCa = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Second golden CA',
    notBefore: FROM,
    notAfter: FAR,
    keys: otherKeys,
    signingAlgorithm: EC,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const issue = (notAfter: Date) =>
    x509.X509CertificateGenerator.create({
      subject: 'CN=gate.example.com',
      issuer: ca.subject,
      notBefore: FROM,
      notAfter,
      publicKey: serverKeys.publicKey,
      signingKey: caKeys.privateKey,
      signingAlgorithm: EC,
    });
  const server = await issue(FAR);
  const expired = await issue(new Date('2020-02-01T00:00:00Z'));
  const soon = await issue(new Date(Date.now() + 10 * 86_400_000));
  const key = await toKeyObject(serverKeys.privateKey);
  const keyPem = pemOf(key);
  const pem = (certificate: x509.X509Certificate): string => `${certificate.toString('pem')}\n`;
  put('ca.pem', pem(ca));
  put('two-authorities.pem', pem(ca) + pem(secondCa));
  put('server.pem', pem(server));
  put('server.der', Buffer.from(server.rawData));
  put('server.key', keyPem);
  put('chain.pem', pem(server) + pem(ca));
  put('reversed.pem', pem(ca) + pem(server));
  put('combined.pem', `${keyPem}\n${pem(server)}`);
  put('expired.pem', pem(expired));
  put('soon.pem', pem(soon));
  put('shared.key', keyPem, 0o644);
  put('other.key', pemOf(await toKeyObject(otherKeys.privateKey)));
  put('two.key', keyPem + keyPem);
  put(
    'encrypted.key',
    key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'passphrase' }),
  );
  put(
    'encrypted-traditional.key',
    key.export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'passphrase' }),
  );
  const attest = generateKeyPairSync('ed25519');
  put('attest.key', pemOf(attest.privateKey));
  put('attest.pub', attest.publicKey.export({ type: 'spki', format: 'pem' }));
  put(
    'attest-encrypted.key',
    attest.privateKey.export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'passphrase',
    }),
  );
  put('garbled.pem', '-----BEGIN CERTIFICATE-----\nMIIBgarbled\n-----END CERTIFICATE-----\n');
  put('garbled.key', '-----BEGIN PRIVATE KEY-----\nMIIBgarbled\n-----END PRIVATE KEY-----\n');
  const weak = makeWeak();
  put('weak.pem', weak.certificate);
  put('weak.key', weak.key);
  put('public-root.pem', publicRoot());
  const list = (signer: webcrypto.CryptoKey, nextUpdate: Date, issuer = ca.subject) =>
    x509.X509CrlGenerator.create({
      issuer,
      thisUpdate: FROM,
      nextUpdate,
      entries: [{ serialNumber: '00c0ffee', revocationDate: FROM }],
      signingKey: signer,
      signingAlgorithm: EC,
    });
  // RFC 7468 section 6 has another label than the library.
  const crl = (made: x509.X509Crl): string => `${made.toString('pem').replaceAll(' CRL-', ' X509 CRL-')}\n`;
  put('ca.crl', crl(await list(caKeys.privateKey, FAR)));
  put('ended.crl', crl(await list(caKeys.privateKey, new Date('2020-02-01T00:00:00Z'))));
  put('forged.crl', crl(await list(otherKeys.privateKey, FAR)));
  put('stranger.crl', crl(await list(otherKeys.privateKey, FAR, 'CN=Stranger, O=Elsewhere')));
  put('garbled.crl', '-----BEGIN X509 CRL-----\nMIIBgarbled\n-----END X509 CRL-----\n');
  return folder;
}

function newKeys() {
  return crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
}

async function toKeyObject(key: webcrypto.CryptoKey): Promise<KeyObject> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** An RSA key of 1024 bits, which OpenSSL refuses at its default security level. */
function makeWeak(): { certificate: string; key: string } {
  const keys = forge.pki.rsa.generateKeyPair(1024);
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = keys.publicKey;
  certificate.serialNumber = '01';
  certificate.validity.notBefore = FROM;
  certificate.validity.notAfter = FAR;
  certificate.setSubject([{ name: 'commonName', value: 'weak.example.com' }]);
  certificate.setIssuer([{ name: 'commonName', value: 'weak.example.com' }]);
  certificate.sign(keys.privateKey, forge.md.sha256.create());
  return {
    certificate: forge.pki.certificateToPem(certificate),
    key: forge.pki.privateKeyToPem(keys.privateKey),
  };
}

/** ISRG Root X1, by its fingerprint, with other line breaks than Node's own copy has. */
function publicRoot(): string {
  const known = '96bcec06264976f37460779acf28c5a7cfe8a3c0aae11a8ffcee05c0bddf08c6';
  const found = rootCertificates.map((pem) => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64'));
  const der = found.find((bytes) => createHash('sha256').update(bytes).digest('hex') === known);
  if (der === undefined) throw new Error('ISRG Root X1 is no longer among the public roots; choose another');
  const lines = der.toString('base64').match(/.{1,76}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\r\n${lines.join('\r\n')}\r\n-----END CERTIFICATE-----\r\n`;
}
