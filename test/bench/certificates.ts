import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import forge from 'node-forge';

const DAY_MS = 86_400_000;

/** What signs: a certificate authority with its key. */
interface Authority {
  readonly certificate: forge.pki.Certificate;
  readonly privateKey: forge.pki.rsa.PrivateKey;
}

/**
 * Writes a test CA, a server certificate for 127.0.0.1 and a client certificate (all RSA 2048) as `ca.pem`,
 * `server.pem`, `server.key`, `server-bundle.pem` (certificate and key, as HAProxy wants them), `client.pem` and
 * `client.key`.
 */
export function writeCertificates(folder: string): void {
  const ca = issue('Postern bench CA', [{ name: 'basicConstraints', cA: true, critical: true }]);
  const names = { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] };
  const server = issue('localhost', [{ name: 'extKeyUsage', serverAuth: true }, names], ca);
  const client = issue('bench-sender', [{ name: 'extKeyUsage', clientAuth: true }], ca);
  const files = {
    'ca.pem': ca.pem,
    'server.pem': server.pem,
    'server.key': server.key,
    'server-bundle.pem': `${server.pem}${server.key}`,
    'client.pem': client.pem,
    'client.key': client.key,
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
}

function issue(commonName: string, extensions: object[], issuer?: Authority) {
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const privateKey = forge.pki.privateKeyFromPem(pair.privateKey);
  const certificate = forge.pki.createCertificate();
  const subject = [{ name: 'commonName', value: commonName }];
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey);
  // A positive serial number that differs between the certificates of one run.
  certificate.serialNumber = `01${createPublicKey(pair.publicKey).export({ format: 'der', type: 'spki' }).toString('hex').slice(66, 82)}`;
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS);
  certificate.validity.notAfter = new Date(Date.now() + 30 * DAY_MS);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer?.certificate.subject.attributes ?? subject);
  certificate.setExtensions(extensions);
  certificate.sign(issuer?.privateKey ?? privateKey, forge.md.sha256.create());
  return { certificate, privateKey, pem: forge.pki.certificateToPem(certificate), key: pair.privateKey };
}
