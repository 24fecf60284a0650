import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { SenderProfile } from '../../sender-profile.ts';
import { CliError } from '../exit.ts';
import type { Identity } from './post.ts';

/** The options that say who the sender is. */
export interface IdentityOptions {
  readonly bundle?: string;
  readonly cert?: string;
  readonly key?: string;
  /** False with `--no-certificate`. */
  readonly certificate: boolean;
}

/**
 * The key and certificate that the options name, checked to belong together; `undefined`: none is to be presented.
 * @throws CliError, exit code 2
 */
export function readIdentity(typed: IdentityOptions, profile: SenderProfile): Identity | undefined {
  const keyFile = typed.bundle ?? typed.key;
  const certificateFile = typed.bundle ?? typed.cert;
  if (typed.bundle !== undefined && (typed.key ?? typed.cert) !== undefined)
    misuse('--bundle holds the key and the certificate; it does not go together with --key and --cert');
  if (keyFile === undefined && certificateFile === undefined) {
    if (typed.certificate && profile.clientCertificate)
      misuse(
        `${profile.name} presents a client certificate: give --bundle FILE, or --no-certificate to go without`,
      );
    return undefined;
  }
  if (keyFile === undefined || certificateFile === undefined) return misuse('--cert and --key go together');
  if (!profile.clientCertificate)
    misuse(`${profile.name} presents no client certificate: leave --bundle out`);
  if (!typed.certificate) misuse('--no-certificate does not go together with --bundle, --cert or --key');
  return checkIdentity(
    { key: readFile(keyFile), certificate: readFile(certificateFile) },
    keyFile,
    certificateFile,
  );
}

function checkIdentity(identity: Identity, keyFile: string, certificateFile: string): Identity {
  const key = attempt(
    () => createPrivateKey(identity.key),
    `${keyFile} holds no unencrypted private key in PEM; a bundle is the key, a blank line and the certificate`,
  );
  const certificate = attempt(
    () => new X509Certificate(identity.certificate),
    `${certificateFile} holds no certificate in PEM; a bundle is the key, a blank line and the certificate`,
  );
  if (!certificate.checkPrivateKey(key))
    misuse(`the key in ${keyFile} is not that of the certificate in ${certificateFile}`);
  return identity;
}

/** The CA certificates in a file. @throws CliError, exit code 2 */
export function readCa(file: string): Buffer {
  const pem = readFile(file);
  attempt(
    () => new X509Certificate(pem),
    `${file} holds no certificate in PEM; --ca is the CA of the gateway's certificate`,
  );
  return pem;
}

/** Ends the command as used wrongly. */
export function misuse(sentence: string): never {
  throw new CliError(sentence, 2);
}

/** @throws CliError, exit code 2 */
export function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    return misuse(`cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What `read` gives, or the command ends with `sentence`. */
export function attempt<Value>(read: () => Value, sentence: string): Value {
  try {
    return read();
  } catch {
    return misuse(sentence);
  }
}
