import { X509Certificate } from 'node:crypto';
import { createSecureContext, rootCertificates, type SecureContextOptions } from 'node:tls';
import type { Path } from './document.ts';
import { type PemFile, readPem, subjectOf } from './pem.ts';
import type { Report } from './problems.ts';

/** Certificates that may vouch for others. */
export function loadAuthorities(name: string, path: Path, report: Report): PemFile | undefined {
  const pem = readPem(name, path, report);
  if (pem === undefined) return undefined;
  if (pem.parsed.length === 0) {
    report.add(
      path,
      `${pem.file} holds a private key and no certificate; give the file of the authority's certificate`,
    );
    return undefined;
  }
  const wrong = pem.parsed.findIndex((certificate) => !certificate.ca);
  const certificate = pem.parsed[wrong];
  if (certificate === undefined) return pem;
  report.add(
    path,
    `certificate ${wrong + 1} of ${pem.parsed.length} in ${pem.file} (${subjectOf(certificate)}) is no authority (CA); give the certificate of the authority that signs client certificates`,
  );
  return undefined;
}

/** Whether OpenSSL takes them: it refuses what parses well but is too weak, such as an RSA key of 1024 bits. */
export function opensslTakes(options: SecureContextOptions, path: Path, report: Report): boolean {
  try {
    createSecureContext(options);
    return true;
  } catch (error) {
    const words =
      error instanceof Error ? error.message.replace(/^error:[^:]*:[^:]*:[^:]*:/, '') : String(error);
    report.add(
      path,
      `OpenSSL does not take this certificate and key: ${words}; make new ones, RSA of 2048 bits or EC P-256`,
    );
    return false;
  }
}

/** The subject of the first of these authorities that Node trusts for the whole web. */
export function publicRootOf(clientCa: readonly string[]): string | undefined {
  const roots = new Set(rootCertificates.map(bodyOf));
  const pem = clientCa.find((candidate) => roots.has(bodyOf(candidate)));
  return pem === undefined ? undefined : subjectOf(new X509Certificate(pem));
}

/** The DER in base64: the same certificate may be written with other line breaks. */
function bodyOf(pem: string): string {
  return pem.replace(/-----[^-]+-----|\s/g, '');
}
