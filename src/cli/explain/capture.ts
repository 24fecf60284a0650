import { createReadStream } from 'node:fs';
import type { ParsedHead } from '../../listen/head.ts';
import type { Refusal } from '../../types.ts';
import { CliError } from '../exit.ts';
import { readJson } from './capture-json.ts';
import { readRaw } from './capture-raw.ts';

/** A captured request, as far as it is known. */
export interface Capture {
  /** Read as the gateway reads it. */
  readonly head: ParsedHead | Refusal;
  readonly body: Buffer;
  readonly address: string | undefined;
  readonly certificate: GivenCertificate | undefined;
  /** When it was received, milliseconds since the epoch. */
  readonly timeMs: number | undefined;
  /** It comes from the state, which keeps no credentials. */
  readonly isStored?: boolean;
  /** What was odd about the capture itself: it may not be what was on the wire. */
  readonly notes: readonly string[];
}

/** The client certificate of a capture; `none`: it is known that there was none. */
export type GivenCertificate = 'none' | { readonly pem: string } | CertificateFacts;

/** What is known of a certificate that is not there itself. */
export interface CertificateFacts {
  readonly pem?: undefined;
  readonly subject: string | undefined;
  readonly names: readonly string[] | undefined;
  readonly fingerprint: string | undefined;
  readonly publicKey: string | undefined;
  readonly notAfterMs: number | undefined;
}

/** Far more than the largest body, in base64, and no more than this process can hold. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_CERTIFICATE_BYTES = 256 * 1024;
const BRACE = 0x7b;

/**
 * Reads a captured request: JSON where it begins with a brace, else raw HTTP.
 * @param file `-`: standard input
 * @throws CliError, exit code 2, where it is neither; it never holds any of the file's text
 */
export async function readCapture(file: string): Promise<Capture> {
  const bytes = await readBounded(file, MOST_BYTES);
  return bytes[blanks(bytes)] === BRACE ? readJson(bytes, file) : readRaw(bytes, file);
}

/** @throws CliError, exit code 2, where it cannot be read */
export async function readCertificateFile(file: string): Promise<string> {
  return (await readBounded(file, MOST_CERTIFICATE_BYTES)).toString('latin1');
}

/** Read to the bound and no further: a pipe or a device has no size that could be asked for. */
async function readBounded(file: string, mostBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length > mostBytes) break;
    }
  } catch (error) {
    throw new CliError(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'it failed'}`, 2);
  }
  if (length > mostBytes)
    throw new CliError(`${file} is larger than ${mostBytes} bytes; give one request`, 2);
  return Buffer.concat(chunks);
}

function blanks(bytes: Buffer): number {
  let at = 0;
  while (bytes[at] === 0x20 || bytes[at] === 0x09 || bytes[at] === 0x0a || bytes[at] === 0x0d) at += 1;
  return at;
}
