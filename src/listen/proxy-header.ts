import { isIPv4, isIPv6 } from 'node:net';

/**
 * What the beginning of a connection says of where it comes from: the PROXY protocol, versions 1 and 2
 * (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 and 2.2).
 */
export type ProxyHeader =
  /** More bytes are needed. */
  | { readonly state: 'partial' }
  | { readonly state: 'malformed'; readonly detail: string }
  /** `address`: the sender's; `undefined`: the proxy speaks for itself (LOCAL, UNKNOWN). */
  | { readonly state: 'whole'; readonly address: string | undefined; readonly size: number };

const PARTIAL: ProxyHeader = Object.freeze({ state: 'partial' });
const SIGNATURE_1 = Buffer.from('PROXY ');
const SIGNATURE_2 = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** Section 2.1: the longest line, its CRLF included. */
const LONGEST_LINE = 107;
const FIXED_BYTES = 16;
/** The most that addresses and additions may take; the protocol would allow 64 KiB that nobody has a use for. */
const MOST_BYTES = 4096;

/** Reads the header at the beginning of `bytes`, strictly: there is no connection without one. */
export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (startsLike(bytes, SIGNATURE_2)) return readVersion2(bytes);
  return startsLike(bytes, SIGNATURE_1) ? readVersion1(bytes) : malformed('no PROXY header');
}

/** Whether the bytes there are so far are those of the signature. */
function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.compare(signature, 0, length, 0, length) === 0;
}

function readVersion1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, LONGEST_LINE).indexOf('\r\n');
  if (end < 0) return bytes.length >= LONGEST_LINE ? malformed('version 1: no end of line') : PARTIAL;
  const line = bytes.toString('latin1', 0, end);
  const size = end + 2;
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { state: 'whole', address: undefined, size };
  const [, family, source = '', destination = '', ...ports] =
    /^PROXY (TCP[46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d{1,5}) (\d{1,5})$/.exec(line) ?? [];
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6;
  const isRight =
    family !== undefined &&
    isAddress(source) &&
    isAddress(destination) &&
    ports.every((port) => /^(?:0|[1-9]\d*)$/.test(port) && Number(port) <= 65_535);
  return isRight ? { state: 'whole', address: source, size } : malformed('version 1: line');
}

/** Command and family in the 13th and 14th byte, then the length of all that follows (section 2.2). */
function readVersion2(bytes: Buffer): ProxyHeader {
  if (bytes.length < FIXED_BYTES) return PARTIAL;
  const command = bytes[12] as number;
  const family = bytes[13] as number;
  const size = FIXED_BYTES + bytes.readUInt16BE(14);
  if (command !== LOCAL && command !== PROXY) return malformed('version 2: command');
  if (size > FIXED_BYTES + MOST_BYTES) return malformed('version 2: length');
  if (bytes.length < size) return PARTIAL;
  const header = bytes.subarray(0, size);
  if (command === LOCAL) return { state: 'whole', address: undefined, size };
  const block = BLOCKS[family];
  if (block === undefined) return malformed('version 2: family');
  const additionsAt = FIXED_BYTES + block.bytes;
  if (additionsAt > size) return malformed('version 2: addresses');
  const trouble = troubleOfAdditions(header, additionsAt);
  if (trouble !== undefined) return malformed(`version 2: ${trouble}`);
  return { state: 'whole', address: block.source(header.subarray(FIXED_BYTES)), size };
}

const LOCAL = 0x20;
const PROXY = 0x21;

/** By family: how long the addresses and ports are, and how the source is read. UDP and unix sockets carry no TLS here. */
const BLOCKS: Readonly<Record<number, { bytes: number; source: (block: Buffer) => string | undefined }>> = {
  0: { bytes: 0, source: () => undefined },
  17: { bytes: 12, source: (block) => block.subarray(0, 4).join('.') },
  33: { bytes: 36, source: (block) => (block.toString('hex', 0, 16).match(/.{4}/g) ?? []).join(':') },
};

const CRC32C_TYPE = 0x03;

/** Type, length and value each; skipped, except for a checksum, which must be right where it is there (2.2.3). */
function troubleOfAdditions(header: Buffer, start: number): string | undefined {
  for (let at = start; at < header.length; ) {
    if (at + 3 > header.length) return 'addition cut short';
    const length = header.readUInt16BE(at + 1);
    const end = at + 3 + length;
    if (end > header.length) return 'addition cut short';
    if (header[at] === CRC32C_TYPE) {
      if (length !== 4) return 'checksum';
      const zeroed = Buffer.from(header);
      zeroed.fill(0, at + 3, end);
      if (crc32c(zeroed) !== header.readUInt32BE(at + 3)) return 'checksum';
    }
    at = end;
  }
  return undefined;
}

/** Castagnoli's polynomial (RFC 3720 appendix B.4); zlib, and so Node, has the other CRC-32 only. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function malformed(detail: string): ProxyHeader {
  return { state: 'malformed', detail };
}
