import { X509Certificate } from 'node:crypto';
import { createSecureContext, rootCertificates, type SecureContextOptions } from 'node:tls';
import type { z } from 'zod';
import type { TlsSettings, UpstreamSettings } from '../settings.ts';
import type { Path } from './document.ts';
import type { Partly } from './issues.ts';
import { type PemFile, readIdentity, readPem, subjectOf } from './pem.ts';
import type { Report } from './problems.ts';
import type { tlsSchema, UpstreamInput } from './schema.ts';

/** A certificate or key file that `postern check` has an eye on. */
export interface Watched {
  /** The key in the configuration: `tls.client_ca`. */
  readonly what: string;
  readonly certificates: readonly X509Certificate[];
  readonly keyFile: PemFile | undefined;
}

/** Loads what the section `tls` names. @returns `undefined` when any of it was reported as wrong */
export function loadTls(
  section: Partly<z.output<typeof tlsSchema>>,
  report: Report,
  watched: Watched[],
): TlsSettings | undefined {
  const { values } = section;
  const identity =
    values.certificate === undefined || !section.right('private_key')
      ? undefined
      : readIdentity(values.certificate, values.private_key, ['tls'], report);
  const clientCa =
    values.client_ca === undefined
      ? undefined
      : loadAuthorities(values.client_ca, ['tls', 'client_ca'], report);
  if (clientCa !== undefined)
    watched.push({ what: 'tls.client_ca', certificates: clientCa.parsed, keyFile: undefined });
  if (identity === undefined) return undefined;
  watched.push({ what: 'tls.certificate', certificates: identity.parsed, keyFile: identity.keyFile });
  const minVersion = values.min_version ?? 'TLSv1.2';
  const options = { cert: identity.certificate, key: identity.privateKey, minVersion };
  if (!loads(options, ['tls', 'certificate'], report)) return undefined;
  if (clientCa === undefined || values.client_certificate === undefined) return undefined;
  return {
    certificate: identity.certificate,
    privateKey: identity.privateKey,
    clientCa: [...new Set(clientCa.certificates)],
    clientCertificate: values.client_certificate,
    minVersion,
  };
}

/** Certificates that may vouch for others. */
function loadAuthorities(name: string, path: Path, report: Report): PemFile | undefined {
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

/** Loads the section `tls` of an upstream. @returns `false` when something was reported */
export function loadUpstreamTls(
  input: NonNullable<UpstreamInput['tls']>,
  path: Path,
  report: Report,
  watched: Watched[],
): UpstreamSettings['tls'] | false {
  const what = path.join('.');
  const ca = input.ca === undefined ? undefined : loadAuthorities(input.ca, [...path, 'ca'], report);
  if (ca !== undefined) watched.push({ what: `${what}.ca`, certificates: ca.parsed, keyFile: undefined });
  if (input.certificate === undefined && input.private_key !== undefined) {
    report.add([...path, 'private_key'], 'a private key needs its certificate; give certificate as well');
    return false;
  }
  const identity =
    input.certificate === undefined
      ? undefined
      : readIdentity(input.certificate, input.private_key, path, report);
  if (identity !== undefined) {
    watched.push({ what: `${what}.certificate`, certificates: identity.parsed, keyFile: identity.keyFile });
    const options = { cert: identity.certificate, key: identity.privateKey };
    if (!loads(options, [...path, 'certificate'], report)) return false;
  }
  if (
    (input.ca !== undefined && ca === undefined) ||
    (input.certificate !== undefined && identity === undefined)
  )
    return false;
  return {
    ca: ca === undefined ? undefined : Buffer.from(`${ca.certificates.join('\n')}\n`, 'latin1'),
    certificate: identity?.certificate,
    privateKey: identity?.privateKey,
  };
}

/** Whether OpenSSL takes them: it refuses what parses well but is too weak, such as an RSA key of 1024 bits. */
function loads(options: SecureContextOptions, path: Path, report: Report): boolean {
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
export function publicRoot(clientCa: readonly string[]): string | undefined {
  const roots = new Set(rootCertificates.map(bodyOf));
  const pem = clientCa.find((candidate) => roots.has(bodyOf(candidate)));
  return pem === undefined ? undefined : subjectOf(new X509Certificate(pem));
}

/** The DER in base64: the same certificate may be written with other line breaks. */
function bodyOf(pem: string): string {
  return pem.replace(/-----[^-]+-----|\s/g, '');
}
