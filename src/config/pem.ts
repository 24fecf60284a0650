import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import type { Path } from './document.ts';
import { audienceOf, fileTrouble } from './files.ts';
import type { Report } from './problems.ts';

/** A PEM file of the configuration, read. */
export interface PemFile {
  /** Absolute. */
  readonly file: string;
  /** The PEM text of each certificate, in the file's order. */
  readonly certificates: readonly string[];
  readonly parsed: readonly X509Certificate[];
  /** The PEM text of the private key. */
  readonly privateKey: string | undefined;
}

/** A certificate with its key, fitting each other. */
export interface Identity {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly parsed: readonly X509Certificate[];
  readonly keyFile: PemFile;
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;

/** The blocks of a PEM file. */
export interface PemBlocks {
  /** Absolute. */
  readonly file: string;
  readonly blocks: readonly { readonly label: string; readonly text: string }[];
}

/** @returns `undefined` when the file cannot be read, which was reported then */
export function readPemBlocks(name: string, path: Path, report: Report): PemBlocks | undefined {
  const file = resolve(report.source.folder, name);
  try {
    const text = report.source.read(file).toString('latin1');
    const blocks = [...text.matchAll(BLOCK)].map(([block, label = '']) => ({ label, text: block }));
    const audience = blocks.some(isKey) ? audienceOf(file) : undefined;
    if (audience !== undefined) {
      const { who, mode } = audience;
      report.warn(path, `${who} may read the private key in ${file}; run: chmod ${mode} ${file}`);
    }
    return { file, blocks };
  } catch (error) {
    // What names no file and looks like none may be the secret itself, brought in where its file's name belongs.
    const isThere = ['EACCES', 'EISDIR', 'EPERM', 'ERR_ACCESS_DENIED'].includes(
      (error as NodeJS.ErrnoException).code ?? '',
    );
    const shown = isThere || LIKE_A_PATH.test(name) ? file : 'the file that is named here';
    report.add(path, `cannot read ${shown}: ${fileTrouble(error)}`);
    return undefined;
  }
}

function isKey({ label }: { label: string }): boolean {
  return label.endsWith('PRIVATE KEY');
}

const LIKE_A_PATH = /^\.{0,2}\/|\.[a-z\d]{2,4}$/i;

/**
 * Reads a PEM file of certificates and keys; what is wrong is reported at `path`.
 * @returns `undefined` when something was reported
 */
export function readPem(name: string, path: Path, report: Report): PemFile | undefined {
  const pem = readPemBlocks(name, path, report);
  if (pem === undefined) return undefined;
  const { file } = pem;
  const certificates: string[] = [];
  const keys: string[] = [];
  for (const block of pem.blocks) {
    if (block.label === 'CERTIFICATE') certificates.push(block.text);
    else if (isKey(block)) keys.push(block.text);
  }
  const refuse = (sentence: string): undefined => {
    report.add(path, sentence);
    return undefined;
  };
  if (certificates.length === 0 && keys.length === 0) {
    return refuse(
      `${file} holds nothing in PEM (-----BEGIN CERTIFICATE-----); convert DER with: openssl x509 -inform der -in ${file} -out ${file}.pem`,
    );
  }
  const encrypted = keys.find((key) => /BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED/.test(key));
  if (encrypted !== undefined) {
    return refuse(
      `the private key in ${file} is encrypted, and at start nobody is there to type its passphrase; decrypt it with: openssl pkey -in ${file} -out ${file}.plain`,
    );
  }
  if (keys.length > 1)
    return refuse(`${file} holds ${keys.length} private keys; leave the one that fits the certificate`);
  const parsed: X509Certificate[] = [];
  for (const [index, certificate] of certificates.entries()) {
    try {
      parsed.push(new X509Certificate(certificate));
    } catch {
      return refuse(
        `certificate ${index + 1} of ${certificates.length} in ${file} cannot be read; copy the file again, whole`,
      );
    }
  }
  return { file, certificates, parsed, privateKey: keys[0] };
}

/**
 * Reads a certificate (chain in order) and its private key, which may stand in the same file.
 * @param section where `certificate` and `private_key` stand
 */
export function readIdentity(
  certificateName: string,
  keyName: string | undefined,
  section: Path,
  report: Report,
): Identity | undefined {
  const certificatePath = [...section, 'certificate'];
  const keyPath = [...section, 'private_key'];
  const certificateFile = readPem(certificateName, certificatePath, report);
  const keyFile =
    keyName === undefined || keyName === certificateName
      ? certificateFile
      : readPem(keyName, keyPath, report);
  if (certificateFile === undefined) return undefined;
  const leaf = certificateFile.parsed[0];
  if (leaf === undefined) {
    const swapped = keyFile?.parsed.length
      ? '; certificate and private_key seem to have changed places'
      : '; give the file that holds the certificate';
    report.add(certificatePath, `${certificateFile.file} holds a private key and no certificate${swapped}`);
    return undefined;
  }
  if (keyFile === undefined) return undefined;
  const where = keyName === undefined ? certificatePath : keyPath;
  if (keyFile.privateKey === undefined) {
    const remedy = keyName === undefined ? 'give the key as private_key' : 'give the file that holds the key';
    report.add(where, `${keyFile.file} holds no private key; ${remedy}`);
    return undefined;
  }
  const key = parseKey(keyFile.privateKey);
  if (key === undefined) {
    report.add(where, `the private key in ${keyFile.file} cannot be read; copy the file again, whole`);
    return undefined;
  }
  if (!leaf.checkPrivateKey(key)) {
    const place = certificateFile.parsed.findIndex((certificate) => certificate.checkPrivateKey(key));
    report.add(
      where,
      place === -1
        ? `the private key in ${keyFile.file} does not fit the certificate in ${certificateFile.file}; give the key that the certificate was made for`
        : `the private key fits certificate ${place + 1} in ${certificateFile.file}; put that one first`,
    );
    return undefined;
  }
  const certificate = Buffer.from(`${certificateFile.certificates.join('\n')}\n`, 'latin1');
  const privateKey = Buffer.from(`${keyFile.privateKey}\n`, 'latin1');
  return { certificate, privateKey, parsed: certificateFile.parsed, keyFile };
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

/** The subject of a certificate in one line, for people. */
export function subjectOf(certificate: X509Certificate): string {
  return certificate.subject === undefined ? 'without a subject' : certificate.subject.replaceAll('\n', ', ');
}
