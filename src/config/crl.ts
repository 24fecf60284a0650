import { type KeyObject, verify, type X509Certificate } from 'node:crypto';
import { certificateNames } from '../der.ts';
import type { RevocationList } from '../tls-settings.ts';
import { readList } from './crl-der.ts';
import type { Path } from './document.ts';
import { readPemBlocks, subjectOf } from './pem.ts';
import type { Report } from './problems.ts';

/** What the lists of one host are read for. */
export interface CrlUse {
  readonly path: Path;
  readonly authorities: readonly X509Certificate[];
  /** The gateway itself looks certificates up in the lists, so it must understand all of them. */
  readonly isOwnCheck: boolean;
}

/**
 * Reads a PEM file of certificate revocation lists; what is wrong is reported.
 * @returns `undefined` when something was reported
 */
export function loadCrls(name: string, use: CrlUse, report: Report): readonly RevocationList[] | undefined {
  const pem = readPemBlocks(name, use.path, report);
  if (pem === undefined) return undefined;
  const texts = pem.blocks.filter(({ label }) => label === 'X509 CRL').map(({ text }) => text);
  const refuse = (sentence: string): undefined => {
    report.add(use.path, sentence);
    return undefined;
  };
  if (texts.length === 0) {
    return refuse(
      `${pem.file} holds no revocation list in PEM (-----BEGIN X509 CRL-----); convert DER with: openssl crl -inform der -in ${pem.file} -out ${pem.file}.pem`,
    );
  }
  const lists: RevocationList[] = [];
  for (const [index, text] of texts.entries()) {
    const list = readCrl(pem.file, text);
    const which = `list ${index + 1} of ${texts.length} in ${pem.file}`;
    if (list === undefined) return refuse(`${which} cannot be read; copy the file again, whole`);
    const trouble = troubleOf(list, use);
    if (trouble !== undefined) return refuse(`${which} (of ${list.issuer}) ${trouble}`);
    lists.push(list);
  }
  const covered = use.authorities.some((authority) => lists.some((list) => isOf(list, authority)));
  if (covered) return lists;
  const issuers = lists.map(({ issuer }) => issuer).join('; ');
  return refuse(
    `no list in ${pem.file} is of an authority in client_ca (they are of ${issuers}), so no client could come in; give the lists of those authorities`,
  );
}

function troubleOf(list: RevocationList, { authorities, isOwnCheck }: CrlUse): string | undefined {
  const named = authorities.filter((authority) => certificateNames(authority.raw).subject === list.issuerId);
  if (list.digest === undefined) {
    return isOwnCheck
      ? 'is signed by an algorithm that client_crl_expired: warn does not know; remove that, or have it signed by RSA with SHA-256, ECDSA or Ed25519'
      : undefined;
  }
  if (named.length > 0 && !named.some((authority) => isSignedBy(list, authority.publicKey)))
    return 'was not signed by the authority of that name in client_ca; give the list that it publishes now';
  if (isOwnCheck && list.hasCriticalExtension)
    return 'covers a part of its certificates only, or is a change of another list, which client_crl_expired: warn cannot judge; remove that, or give a complete list';
  return undefined;
}

function readCrl(file: string, pem: string): RevocationList | undefined {
  try {
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    return Object.freeze({ file, pem, ...readList(der) });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function isOf(list: RevocationList, authority: X509Certificate): boolean {
  return certificateNames(authority.raw).subject === list.issuerId;
}

function isSignedBy({ digest, signed, signature }: RevocationList, key: KeyObject): boolean {
  return digest !== undefined && verify(digest === 'none' ? null : digest, signed, key, signature);
}

/** Authorities whose clients are all refused, since nobody says which of their certificates are revoked. */
export function uncoveredAuthorities(
  authorities: readonly X509Certificate[],
  lists: readonly RevocationList[],
): readonly string[] {
  if (lists.length === 0) return [];
  return authorities
    .filter((authority) => !lists.some((list) => isOf(list, authority)))
    .map((authority) => subjectOf(authority));
}
