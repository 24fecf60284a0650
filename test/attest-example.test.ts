import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type JWTPayload, jwtVerify } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { post, type RequestOptions } from './support/sender.ts';
import { headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const FIELD = 'x-postern-attestation';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const route = (name: string, more = {}) => ({
    name,
    path: `/${name}`,
    addresses: 'any',
    upstream: 'ledger',
    ...more,
  });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  gateway = await startGateway(
    {
      upstreams: { ledger: upstream.url },
      routes: [
        route('certified', { attest: { key: `\${file:attest.key}` } }),
        route('shared', { attest: { key: randomBytes(32).toString('base64') } }),
        route('plain'),
      ],
    },
    { files: { 'attest.key': key } },
  );
});

/** Delivers a request and resolves with what the upstream saw of it. */
async function through(options: RequestOptions): Promise<SeenRequest> {
  const answer = await post(gateway, { body: 'a body', ...options });
  await expectDelivered(gateway, answer);
  return await upstream.request((one) => headersOf(one, 'x-request-id')[0] === answer.id);
}

const tokenOf = (seen: SeenRequest): string => headersOf(seen, FIELD)[0] ?? '';

describe('the example of the README', () => {
  type Attested = (request: object, rawBody: Buffer) => Promise<JWTPayload>;
  const folder = mkdtempSync(join(tmpdir(), 'postern-attest-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(() => vi.useRealTimers());

  /** The verifier as a service would have it, with this public key in its environment. */
  async function verifier(pem: string): Promise<Attested> {
    const [, code = ''] =
      /<!-- verify -->\s+```js\n([\s\S]*?)```\s+<!-- \/verify -->/.exec(readFileSync('README.md', 'utf8')) ??
      [];
    expect(code.trim().split('\n').length).toBeLessThan(16);
    const file = join(folder, `${randomUUID()}.mjs`);
    writeFileSync(file, code.replace("'jose'", JSON.stringify(import.meta.resolve('jose'))));
    vi.stubEnv('POSTERN_PUBLIC_KEY', pem);
    const loaded = (await import(pathToFileURL(file).href)) as { attested: Attested };
    vi.unstubAllEnvs();
    return loaded.attested;
  }

  const pemOf = (of: typeof publicKey): string => of.export({ type: 'spki', format: 'pem' }).toString();
  /** As `node:http` shows a request to the service. */
  const asRequest = (seen: SeenRequest) => ({
    method: seen.method,
    url: seen.target,
    headers: Object.fromEntries(
      seen.rawHeaders.flatMap((name, place) =>
        place % 2 === 0 ? [[name.toLowerCase(), seen.rawHeaders[place + 1]]] : [],
      ),
    ),
  });

  let attested: Attested;
  let seen: SeenRequest;
  beforeAll(async () => {
    attested = await verifier(pemOf(publicKey));
    seen = await through({ path: '/certified?n=1', body: 'the body that was sent' });
  });

  test('takes a request that came through the gate', async () => {
    expect(await attested(asRequest(seen), seen.body)).toMatchObject({
      route: 'certified',
      checks: ['certificate'],
    });
  });

  test('refuses it with an altered body', async () => {
    const altered = Buffer.from('the body that was sent!');
    await expect(attested(asRequest(seen), altered)).rejects.toThrow('not the body that passed the gate');
  });

  test('refuses it where its attestation stands on another request’s body', async () => {
    const other = await through({ path: '/plain', body: 'another body' });
    const request = asRequest(other);
    request.headers[FIELD] = tokenOf(seen);
    await expect(attested(request, other.body)).rejects.toThrow('not the body that passed the gate');
    await expect(attested(request, seen.body)).rejects.toThrow('not the request that did');
  });

  test('refuses a request without one, or that did not ask for it', async () => {
    const plain = await through({ path: '/plain' });
    await expect(attested(asRequest(plain), plain.body)).rejects.toThrow('Invalid Compact JWS');
  });

  test('refuses it under another key, and by another algorithm', async () => {
    const other = await verifier(pemOf(generateKeyPairSync('ed25519').publicKey));
    await expect(other(asRequest(seen), seen.body)).rejects.toThrow('signature verification failed');
    const shared = await through({ path: '/shared' });
    await expect(attested(asRequest(shared), shared.body)).rejects.toThrow('"alg"');
  });

  test('refuses it after a minute, and for another audience', async () => {
    const { exp = 0 } = (await jwtVerify(tokenOf(seen), publicKey)).payload;
    const late = { currentDate: new Date(exp * 1000) };
    await expect(jwtVerify(tokenOf(seen), publicKey, late)).rejects.toThrow(
      '"exp" claim timestamp check failed',
    );
    await jwtVerify(tokenOf(seen), publicKey, { currentDate: new Date(exp * 1000 - 1), audience: 'ledger' });
    await expect(jwtVerify(tokenOf(seen), publicKey, { audience: 'billing' })).rejects.toThrow('"aud"');
    vi.useFakeTimers({ toFake: ['Date'], now: exp * 1000 });
    await expect(attested(asRequest(seen), seen.body)).rejects.toThrow('"exp" claim timestamp check failed');
  });
});
