/** One element of DER (X.690 section 10): where it begins, where its contents do, and where both end. */
export interface DerElement {
  readonly tag: number;
  readonly start: number;
  readonly content: number;
  readonly end: number;
}

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OBJECT_IDENTIFIER = 0x06;
export const BOOLEAN = 0x01;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;

/** The longest length that is read: four bytes of it are 4 GiB. */
const MOST_LENGTH_BYTES = 4;

/**
 * Reads the element at `at`, strictly: definite lengths in their shortest form, tags of one byte.
 * @param end where what encloses it ends
 * @throws RangeError where there is no whole element
 */
export function readDer(bytes: Buffer, at: number, end: number): DerElement {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f)
    throw new RangeError('no DER element');
  let length = first;
  let content = at + 2;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > MOST_LENGTH_BYTES || content + count > end) throw new RangeError('DER length');
    length = bytes.readUIntBE(content, count);
    if (length < 0x80 || bytes[content] === 0) throw new RangeError('DER length');
    content += count;
  }
  if (content + length > end) throw new RangeError('DER element cut short');
  return { tag, start: at, content, end: content + length };
}

/** Visits the elements inside one, in order. @throws RangeError where they do not fill it exactly */
export function eachIn(
  bytes: Buffer,
  { content, end }: DerElement,
  visit: (element: DerElement) => void,
): void {
  for (let at = content; at < end; ) {
    const element = readDer(bytes, at, end);
    visit(element);
    at = element.end;
  }
}

/** The elements inside one. @throws RangeError where they do not fill it exactly */
export function elementsIn(bytes: Buffer, element: DerElement): DerElement[] {
  const found: DerElement[] = [];
  eachIn(bytes, element, (inner) => found.push(inner));
  return found;
}

/** An element with its tag and length, as hexadecimal: equal elements have equal texts. */
export function wholeHex(bytes: Buffer, { start, end }: DerElement): string {
  return bytes.toString('hex', start, end);
}

/** The names in a certificate (RFC 5280 section 4.1), as `wholeHex`. @throws RangeError where it is none */
export function certificateNames(der: Buffer): { readonly issuer: string; readonly subject: string } {
  const certificate = readDer(der, 0, der.length);
  const tbs = elementsIn(der, readDer(der, certificate.content, certificate.end));
  // The version stands before the serial number where it is not the first (0xa0: context-specific, constructed, 0).
  const [, , issuer, , subject] = tbs[0]?.tag === 0xa0 ? tbs.slice(1) : tbs;
  if (issuer === undefined || subject === undefined) throw new RangeError('no certificate');
  return { issuer: wholeHex(der, issuer), subject: wholeHex(der, subject) };
}
