import { addressText, parseAddress } from '../addresses.ts';
import { scalar, type Wrong, wrongValue } from './values.ts';

const EXPECTED = 'an address such as 10.1.2.3, a network such as 10.0.0.0/8, or any';

/** One entry of an address list in its canonical spelling, or the word `any`. */
export function addressEntry(expected = EXPECTED) {
  return scalar<string>({ expected, read: (text) => (text === 'any' ? text : readNetwork(text)) });
}

/** An address or a network, in its canonical spelling. */
export function networkEntry() {
  return scalar<string>({
    expected: 'an address such as 10.1.2.3 or a network such as 10.0.0.0/8',
    read: readNetwork,
  });
}

/**
 * The canonical spelling of an address or CIDR: IPv6 as RFC 5952 writes it, IPv4-mapped IPv6 as IPv4, and a
 * network of a single address as that address.
 */
export function readNetwork(text: string): string | Wrong | undefined {
  const slash = text.indexOf('/');
  const address = slash === -1 ? text : text.slice(0, slash);
  const value = parseAddress(address);
  if (value === undefined || address.includes('%')) return undefined;
  const written = address.includes(':') ? 128 : 32;
  const width = typeof value === 'number' ? 32 : 128;
  const prefix = slash === -1 ? String(written) : text.slice(slash + 1);
  if (!/^(?:0|[1-9]\d{0,2})$/.test(prefix) || Number(prefix) > written || Number(prefix) < written - width) {
    return { wrong: `the number after / is ${written - width} to ${written}` };
  }
  const length = Number(prefix) - (written - width);
  const bits = BigInt(value);
  const hostBits = BigInt(width - length);
  const network = (bits >> hostBits) << hostBits;
  if (network !== bits) {
    const right = spell(network, length, width);
    return wrongValue(
      `${text} has bits set beyond its /${prefix}; write ${right}, or ${spell(bits, width, width)} for the one address`,
    );
  }
  return spell(network, length, width);
}

function spell(bits: bigint, length: number, width: number): string {
  const address = addressText(width === 32 ? Number(bits) : bits);
  return length === width ? address : `${address}/${length}`;
}
