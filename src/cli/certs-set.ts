import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Authority,
  issueCa,
  issueLeaf,
  type LeafRequest,
  makeKey,
  readAuthority,
  readCertificate,
} from './certs-issue.ts';
import { CliError } from './exit.ts';

/** What `makeCertificates` is to make, and where. */
export interface CertificatesRequest {
  readonly folder: string;
  /** Names of the server besides localhost, 127.0.0.1 and ::1. */
  readonly hosts: readonly string[];
  /** The client certificate's CN and DNS name. */
  readonly clientName: string;
  /** How long the server's and the client's certificate are valid. */
  readonly days: number;
}

/** One file of the set, and whether this run wrote it. */
export interface CertificateFile {
  readonly name: string;
  readonly written: boolean;
  /** For a certificate: when it expires. */
  readonly expires?: Date;
}

/** The CA outlives what it signs, so that a renewed leaf needs no new trust. */
const CA_DAYS = 3650;
const BUNDLE = 'client-bundle.pem';

/**
 * Completes a set of test certificates in a folder: `ca`, `server` and `client`, each `.pem` and `.key` (PEM, keys
 * with mode 0600), and `client-bundle.pem`. A file that is there is never written to; a certificate that is missing
 * beside its key is made for that key.
 * @returns every file of the set that exists afterwards
 * @throws CliError where the folder cannot be used, or what is there does not let the rest be made
 */
export async function makeCertificates(request: CertificatesRequest): Promise<CertificateFile[]> {
  const { folder } = request;
  try {
    await mkdir(folder, { recursive: true });
    const set: OpenSet = { folder, present: new Set(await readdir(folder)), files: [] };
    refuseHalves(set);
    const caPem = await ensureCa(set, request.days);
    await ensureLeaf(set, caPem, 'server', {
      commonName: 'localhost',
      names: [...new Set(['localhost', '127.0.0.1', '::1', ...request.hosts])],
      usage: 'serverAuth',
      days: request.days,
    });
    await ensureLeaf(set, caPem, 'client', {
      commonName: request.clientName,
      names: [request.clientName],
      usage: 'clientAuth',
      days: request.days,
    });
    // Codat's portal takes the private key, a blank line, and the certificate, in this order.
    await ensure(
      set,
      BUNDLE,
      async () => `${await read(set, 'client.key')}\n${await read(set, 'client.pem')}`,
    );
    return set.files;
  } catch (error) {
    if (error instanceof CliError || !(error instanceof Error)) throw error;
    throw new CliError(`cannot make certificates in ${folder}: ${error.message}`);
  }
}

interface OpenSet {
  readonly folder: string;
  readonly present: ReadonlySet<string>;
  readonly files: CertificateFile[];
}

/** What is there but can never be completed is refused before anything is written. */
function refuseHalves({ present, folder }: OpenSet): void {
  const has = (name: string) => present.has(name);
  for (const leaf of ['server', 'client']) {
    if (has(`${leaf}.pem`) && !has(`${leaf}.key`))
      throw new CliError(
        `${join(folder, leaf)}.pem is there without its key ${leaf}.key; remove it to make both anew`,
      );
    if (has(`${leaf}.pem`) && !has('ca.pem') && !has('ca.key'))
      throw new CliError(
        `${join(folder, leaf)}.pem is there without ca.pem, the CA that signed it; use a new folder`,
      );
    if (!has(`${leaf}.pem`) && has('ca.pem') && !has('ca.key'))
      throw new CliError(
        `${leaf}.pem is missing and cannot be made: ${join(folder, 'ca.key')}, the key of ca.pem, is not there`,
      );
  }
  if (has(BUNDLE) && !has('client.pem'))
    throw new CliError(
      `${join(folder, BUNDLE)} is there without client.pem; remove it, so that both are made anew`,
    );
}

async function ensureCa(set: OpenSet, days: number): Promise<string> {
  // A CA whose key was moved to a safer place is complete as it is: nothing is left to sign.
  const keyElsewhere = set.present.has('ca.pem') && !set.present.has('ca.key');
  const key = keyElsewhere ? undefined : await ensure(set, 'ca.key', makeKey);
  return ensure(set, 'ca.pem', () => issueCa(key ?? '', join(set.folder, 'ca.key'), Math.max(days, CA_DAYS)));
}

async function ensureLeaf(set: OpenSet, caPem: string, leaf: string, request: LeafRequest): Promise<void> {
  // Asked before the key is made, so that a CA that cannot sign leaves nothing half made.
  if (!set.present.has(`${leaf}.pem`)) await openAuthority(set, caPem);
  const key = await ensure(set, `${leaf}.key`, makeKey);
  await ensure(set, `${leaf}.pem`, async () =>
    issueLeaf(await openAuthority(set, caPem), key, join(set.folder, `${leaf}.key`), request),
  );
}

async function openAuthority(set: OpenSet, caPem: string): Promise<Authority> {
  const keyFile = join(set.folder, 'ca.key');
  return readAuthority(caPem, join(set.folder, 'ca.pem'), await read(set, 'ca.key'), keyFile);
}

/** The file's text: what is there, or else what `make` gives, written so that nothing is ever overwritten. */
async function ensure(set: OpenSet, name: string, make: () => string | Promise<string>): Promise<string> {
  const written = !set.present.has(name);
  const text = written ? await make() : await read(set, name);
  if (written) {
    const mode = name.endsWith('.key') || name === BUNDLE ? 0o600 : 0o644;
    await writeFile(join(set.folder, name), text, { mode, flag: 'wx' });
  }
  const isCertificate = name.endsWith('.pem') && name !== BUNDLE;
  const expires = isCertificate ? readCertificate(text, join(set.folder, name)).validToDate : undefined;
  set.files.push({ name, written, ...(expires && { expires }) });
  return text;
}

function read(set: OpenSet, name: string): Promise<string> {
  return readFile(join(set.folder, name), 'utf8');
}
