import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeIdentity } from '../src/cli/probe/certificate.ts';
import { createAuthority, type Identity } from './support/ca.ts';

const DAY_MS = 86_400_000;
const times = { fromMs: Date.now() - DAY_MS, untilMs: Date.now() + DAY_MS };
const ofClient = (identity: Identity) => new X509Certificate(identity.certificate);

describe('a made-up client certificate', () => {
  it('has every name of the real one and its issuer, but not its signature', async () => {
    const authority = await createAuthority('The right CA');
    const names = [{ type: 'dns', value: 'sender.example' } as const];
    const like = ofClient(await authority.issue({ subject: 'CN=sender, O=Codat', names }));
    const made = makeIdentity({ like, issuer: undefined, usage: 'client', ...times });
    const certificate = new X509Certificate(made.certificate);
    const right = new X509Certificate(authority.certificate);
    expect(certificate.subject).toBe(like.subject);
    expect(certificate.issuer).toBe(like.issuer);
    expect(certificate.subjectAltName).toBe('DNS:sender.example');
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(certificate.checkPrivateKey(createPrivateKey(made.key))).toBe(true);
    expect(certificate.publicKey.equals(like.publicKey)).toBe(false);
    expect(certificate.checkIssued(right)).toBe(true);
    expect(certificate.verify(right.publicKey)).toBe(false);
  });

  it.each([
    ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 })],
    ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
    ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' })],
    ['Ed25519', () => generateKeyPairSync('ed25519')],
  ])('is signed by an authority with an %s key, as long and for what was asked', async (_kind, keys) => {
    const authority = await createAuthority('The right CA');
    const like = ofClient(await authority.issue());
    const { privateKey, publicKey } = keys();
    const issuer = { certificate: new X509Certificate(authority.certificate), key: privateKey };
    const asked = { fromMs: Date.UTC(2024, 1, 29, 1, 2, 3), untilMs: Date.UTC(2049, 11, 31, 23, 59, 59) };
    const made = makeIdentity({ like, issuer, usage: 'server', ...asked });
    const certificate = new X509Certificate(made.certificate);
    expect(certificate.verify(publicKey)).toBe(true);
    expect(certificate.validFromDate.getTime()).toBe(asked.fromMs);
    expect(certificate.validToDate.getTime()).toBe(asked.untilMs);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  });

  it('is well formed, whatever random bytes it has', async () => {
    const like = ofClient(await (await createAuthority('The right CA')).issue());
    const serials = Array.from({ length: 300 }, () => {
      const made = makeIdentity({ like, issuer: undefined, usage: 'client', ...times });
      return new X509Certificate(made.certificate).serialNumber;
    });
    expect(new Set(serials).size).toBe(300);
    for (const serial of serials) expect(serial).toMatch(/^40[0-9A-F]{30}$/);
  });
});
