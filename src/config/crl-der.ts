import {
  BIT_STRING,
  BOOLEAN,
  type DerElement,
  eachIn,
  elementsIn,
  GENERALIZED_TIME,
  INTEGER,
  OBJECT_IDENTIFIER,
  readDer,
  SEQUENCE,
  UTC_TIME,
  wholeHex,
} from '../der.ts';
import type { RevocationList } from '../tls-settings.ts';

export type ReadList = Omit<RevocationList, 'file' | 'pem'>;

/** How a list of this signature algorithm is verified; `none`: the key says it. RFC 5758, RFC 8410, RFC 8017. */
const DIGESTS: Readonly<Record<string, RevocationList['digest']>> = {
  '2a864886f70d01010b': 'sha256',
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2b6570': 'none',
  '2b6571': 'none',
};

/** `[0]`, constructed: where a list's extensions stand. */
const EXTENSIONS = 0xa0;

/**
 * Reads a certificate revocation list (RFC 5280 section 5.1). The cost is linear: lists of 100,000 certificates are
 * usual, and libraries that make an object of each element refuse them.
 * @throws RangeError where it is none
 */
export function readList(der: Buffer): ReadList {
  const [tbs, algorithm, bits] = elementsIn(der, only(der));
  if (tbs?.tag !== SEQUENCE || algorithm === undefined || bits?.tag !== BIT_STRING)
    throw new RangeError('no revocation list');
  const parts = elementsIn(der, tbs);
  if (parts[0]?.tag === INTEGER) parts.shift();
  const [, issuer, thisUpdate, ...rest] = parts;
  if (issuer?.tag !== SEQUENCE || thisUpdate === undefined) throw new RangeError('no revocation list');
  const nextUpdate = isTime(rest[0]) ? rest.shift() : undefined;
  const entries = rest[0]?.tag === SEQUENCE ? rest.shift() : undefined;
  const extensions = rest[0]?.tag === EXTENSIONS ? rest.shift() : undefined;
  const revoked = readEntries(der, entries);
  return {
    issuer: nameText(der, issuer),
    issuerId: wholeHex(der, issuer),
    thisUpdateMs: timeMs(der, thisUpdate),
    nextUpdateMs: nextUpdate && timeMs(der, nextUpdate),
    serials: revoked.serials,
    signed: der.subarray(tbs.start, tbs.end),
    // The first byte says how many bits of the last are unused: none.
    signature: der.subarray(bits.content + 1, bits.end),
    digest: DIGESTS[identifierOf(der, algorithm)],
    hasCriticalExtension: revoked.hasCritical || (extensions !== undefined && hasCritical(der, extensions)),
  };
}

function only(der: Buffer): DerElement {
  const element = readDer(der, 0, der.length);
  if (element.tag !== SEQUENCE || element.end !== der.length) throw new RangeError('no revocation list');
  return element;
}

function readEntries(
  der: Buffer,
  entries: DerElement | undefined,
): { serials: Set<string>; hasCritical: boolean } {
  const serials = new Set<string>();
  let isAnyCritical = false;
  if (entries !== undefined) {
    eachIn(der, entries, (entry) => {
      const serial = readDer(der, entry.content, entry.end);
      if (serial.tag !== INTEGER) throw new RangeError('no serial number');
      serials.add(serialText(der.toString('hex', serial.content, serial.end)));
      const date = readDer(der, serial.end, entry.end);
      if (date.end < entry.end) isAnyCritical ||= hasCritical(der, { ...entry, content: date.end });
    });
  }
  return { serials, hasCritical: isAnyCritical };
}

/** Serial numbers are compared without leading zeros. */
function serialText(hex: string): string {
  return hex.replace(/^0+(?=.)/, '');
}

/** Whether an extension below this element is critical: extension ::= SEQUENCE { id, critical BOOLEAN, value }. */
function hasCritical(der: Buffer, around: DerElement): boolean {
  return elementsIn(der, around).some((list) =>
    elementsIn(der, list).some((extension) => elementsIn(der, extension)[1]?.tag === BOOLEAN),
  );
}

function identifierOf(der: Buffer, algorithm: DerElement): string {
  const id = readDer(der, algorithm.content, algorithm.end);
  return id.tag === OBJECT_IDENTIFIER ? der.toString('hex', id.content, id.end) : '';
}

function isTime(element: DerElement | undefined): boolean {
  return element?.tag === UTC_TIME || element?.tag === GENERALIZED_TIME;
}

/** RFC 5280 section 4.1.2.5: to the second, in UTC; two digits of a year from 50 on are of the last century. */
function timeMs(der: Buffer, element: DerElement): number {
  const text = der.toString('latin1', element.content, element.end);
  const full = element.tag === UTC_TIME ? `${Number(text.slice(0, 2)) < 50 ? 20 : 19}${text}` : text;
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full) ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (!isTime(element) || Number.isNaN(ms)) throw new RangeError('no time');
  return ms;
}

const ATTRIBUTES: Readonly<Record<string, string>> = {
  '550403': 'CN',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '55040a': 'O',
  '55040b': 'OU',
  '0992268993f22c640119': 'DC',
};

/** Wide strings (BMPString) are UTF-16 in the other order of bytes. */
const BMP_STRING = 0x1e;

/** A name in one line, for people, in the order of the certificate as OpenSSL and Node write it. */
function nameText(der: Buffer, name: DerElement): string {
  const parts = elementsIn(der, name).flatMap((set) => elementsIn(der, set));
  return parts
    .map((part) => {
      const [type, value] = elementsIn(der, part);
      if (type === undefined || value === undefined) throw new RangeError('no name');
      const id = der.toString('hex', type.content, type.end);
      const bytes = Buffer.from(der.subarray(value.content, value.end));
      const text = value.tag === BMP_STRING ? bytes.swap16().toString('utf16le') : bytes.toString();
      return `${ATTRIBUTES[id] ?? id}=${text}`;
    })
    .join(', ');
}
