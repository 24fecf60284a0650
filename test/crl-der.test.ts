import './support/reflect.ts';
import { verify, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { readList } from '../src/config/crl-der.ts';
import { certificateNames } from '../src/der.ts';
import { type Authority, createAuthority, type Identity } from './support/ca.ts';

let authority: Authority;
let revoked: Identity[];
let pem: string;
let der: Buffer;

beforeAll(async () => {
  authority = await createAuthority('List CA');
  revoked = await Promise.all(Array.from({ length: 5 }, () => authority.issue()));
  pem = await authority.revoke(revoked);
  der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
});

describe('a list is read as the library that made it reads it', () => {
  test('issuer, times, serial numbers and signature', () => {
    const list = readList(der);
    const theirs = new x509.X509Crl(pem);
    expect({
      issuer: list.issuer,
      thisUpdateMs: list.thisUpdateMs,
      nextUpdateMs: list.nextUpdateMs,
      serials: [...list.serials],
    }).toEqual({
      issuer: theirs.issuer,
      thisUpdateMs: theirs.thisUpdate.getTime(),
      nextUpdateMs: theirs.nextUpdate?.getTime(),
      serials: theirs.entries.map((entry) => entry.serialNumber.replace(/^0+/, '')),
    });
    const key = new X509Certificate(authority.certificate).publicKey;
    expect(list.digest).toBe('sha256');
    expect(verify('sha256', list.signed, key, list.signature)).toBe(true);
    expect(list.hasCriticalExtension).toBe(false);
  });

  test('its issuer is named as in the certificates that the issuer signed', () => {
    const names = certificateNames((revoked[0] as Identity).leaf.raw);
    expect(readList(der).issuerId).toBe(names.issuer);
    expect(certificateNames(new X509Certificate(authority.certificate).raw).subject).toBe(names.issuer);
  });
});

describe('bytes that are no list are refused, and never read beyond their end', () => {
  test('any prefix of a list', () => {
    for (let length = 0; length < der.length; length += 1)
      expect(() => readList(der.subarray(0, length))).toThrow(RangeError);
  });

  test('a list with a byte behind it', () => {
    expect(() => readList(Buffer.concat([der, Buffer.from([0])]))).toThrow(RangeError);
  });

  test('a list with bytes changed is a list or a RangeError', () => {
    const change = fc.tuple(fc.nat({ max: der.length - 1 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Buffer.from(der);
        for (const [at, byte] of changes) bytes[at] = byte;
        try {
          readList(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
