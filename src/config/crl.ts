import { type KeyObject, verify, type X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, CertificateList, type Name } from '@peculiar/asn1-x509';
import type { RevocationList } from '../settings.ts';
import type { Path } from './document.ts';
import { readPemBlocks, subjectOf } from './pem.ts';
import type { Report } from './problems.ts';

/** How a list of this signature algorithm is verified; `none`: the key says it. RFC 5758, RFC 8410, RFC 8017. */
const DIGESTS: Readonly<Record<string, RevocationList['digest']>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': 'none',
  '1.3.101.113': 'none',
};

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
  const named = authorities.filter((authority) => nameOf(authority) === list.issuerId);
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
    const { tbsCertList, tbsCertListRaw, signature, signatureAlgorithm } = AsnConvert.parse(
      der,
      CertificateList,
    );
    if (tbsCertListRaw === undefined) return undefined;
    const { issuer, thisUpdate, nextUpdate, revokedCertificates, crlExtensions } = tbsCertList;
    const entries = revokedCertificates ?? [];
    return Object.freeze({
      file,
      pem,
      issuer: textOf(issuer),
      issuerId: hexOf(AsnConvert.serialize(issuer)),
      thisUpdateMs: thisUpdate.getTime().getTime(),
      nextUpdateMs: nextUpdate?.getTime().getTime(),
      serials: new Set(entries.map(({ userCertificate }) => serialOf(hexOf(userCertificate)))),
      signed: Buffer.from(tbsCertListRaw),
      signature: Buffer.from(signature),
      digest: DIGESTS[signatureAlgorithm.algorithm],
      hasCriticalExtension:
        (crlExtensions ?? []).some(({ critical }) => critical) ||
        entries.some(({ crlEntryExtensions }) => crlEntryExtensions?.some(({ critical }) => critical)),
    });
  } catch {
    return undefined;
  }
}

function isOf(list: RevocationList, authority: X509Certificate): boolean {
  return nameOf(authority) === list.issuerId;
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

/** The name in DER, hexadecimal: so an issuer's name in a list is compared with it. */
function nameOf(certificate: X509Certificate): string {
  const { tbsCertificate } = AsnConvert.parse(certificate.raw, Certificate);
  return hexOf(AsnConvert.serialize(tbsCertificate.subject));
}

/** RFC 4514 would have the last part first; OpenSSL and Node write them in the order of the certificate. */
function textOf(name: Name): string {
  return name
    .flatMap((part) => [...part])
    .map(({ type, value }) => `${ATTRIBUTES[type] ?? type}=${value.toString()}`)
    .join(', ');
}

const ATTRIBUTES: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
};

function hexOf(bytes: ArrayBuffer): string {
  return Buffer.from(bytes).toString('hex');
}

function serialOf(hex: string): string {
  return hex.replace(/^0+(?=.)/, '');
}
