import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose';
import { beforeAll, describe, expect, test } from 'vitest';
import { defaults } from './support/ca.ts';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import { baseTls, type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { connect, post, type RequestOptions, requestBytes } from './support/sender.ts';
import { headersOf, type SeenRequest, startUpstream, type Upstream } from './support/upstream.ts';

const FIELD = 'x-postern-attestation';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
const sharedSecret = randomBytes(32).toString('base64');
const signingSecret = newSecret();
const bearer = `bearer-${randomUUID()}`;

let upstream: Upstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  const common = { addresses: 'any', upstream: 'ledger' };
  const attest = { key: `\${file:attest.key}` };
  const open = { certificate: 'none', unsafe_open: true };
  gateway = await startGateway(
    {
      tls: { ...baseTls(), client_certificate: 'optional' },
      upstreams: { ledger: upstream.url },
      routes: [
        {
          name: 'events',
          path: '/events',
          sender: 'codat',
          addresses: ['127.0.0.0/8'],
          authorization: [{ bearer }],
          signature: { secrets: [signingSecret] },
          rate_limit: [{ rate: '1000/s' }, { rate: '1000/s', by: 'address' }],
          upstream: 'ledger',
          upstream_path: '/webhooks/in',
          attest: { ...attest, key_id: '2026-01' },
        },
        { name: 'certified', path: '/certified', ...common, attest },
        { name: 'open', path: '/open', ...common, ...open, attest },
        { name: 'shared', path: '/shared', ...common, attest: { key: `\${SHARED}` } },
        { name: 'plain', path: '/plain', ...common },
        {
          name: 'broken',
          path: '/broken',
          ...common,
          sender: 'codat',
          signature: { secrets: [signingSecret] },
          attest,
        },
        { name: 'slow', path: '/slow', ...common, attest },
      ],
    },
    {
      env: {
        SHARED: sharedSecret,
        NODE_OPTIONS: `--import ${new URL('support/slow-signing.mjs', import.meta.url).href}`,
      },
      files: { 'attest.key': key },
    },
  );
});

/** Delivers a request and resolves with what the upstream saw of it. */
async function through(options: RequestOptions & { identity?: 'none' }): Promise<SeenRequest> {
  const answer = await post(gateway, { body: 'a body', ...options });
  await expectDelivered(gateway, answer);
  return await upstream.request((one) => headersOf(one, 'x-request-id')[0] === answer.id);
}

/** The one attestation of a request. */
function tokenOf(seen: SeenRequest): string {
  const [token = '', ...others] = headersOf(seen, FIELD);
  expect([token.split('.').length, others]).toEqual([3, []]);
  return token;
}

async function claimsOf(seen: SeenRequest): Promise<JWTPayload> {
  return (await jwtVerify(tokenOf(seen), publicKey, { algorithms: ['EdDSA'] })).payload;
}

describe('the attestation', () => {
  test('says who sent what, by which route, and what was checked in which order', async () => {
    const { client } = await defaults();
    const body = JSON.stringify({ eventType: 'invoice.written', id: randomUUID() });
    const id = `msg_${randomUUID()}`;
    const seen = await through({
      path: '/events?a=1&b=%2B',
      body,
      sign: { secret: signingSecret, id },
      headers: [['Authorization', `Bearer ${bearer}`]],
    });
    const claims = await claimsOf(seen);
    const nowS = Date.now() / 1000;
    expect(claims).toEqual({
      iss: 'postern',
      aud: 'ledger',
      jti: headersOf(seen, 'x-request-id')[0],
      iat: claims.iat,
      exp: Number(claims.iat) + 60,
      route: 'events',
      sender: 'codat',
      method: 'POST',
      path: '/webhooks/in?a=1&b=%2B',
      checks: ['address', 'certificate', 'rate by address', 'authorization', 'rate by route', 'signature'],
      cnf: { 'x5t#S256': createHash('sha256').update(client.leaf.raw).digest('base64url') },
      event_id: id,
      body_sha256: createHash('sha256').update(body).digest('base64url'),
    });
    expect([seen.method, seen.target]).toEqual([claims.method, claims.path]);
    expect(Math.abs(Number(claims.iat) - nowS)).toBeLessThan(10);
    expect(decodeProtectedHeader(tokenOf(seen))).toEqual({
      alg: 'EdDSA',
      typ: 'postern+jwt',
      kid: '2026-01',
    });
  });

  test('names no credentials, certificate, sender or event where none was proved', async () => {
    const claims = await claimsOf(await through({ path: '/open', identity: 'none' }));
    expect(claims).toMatchObject({ route: 'open', checks: [] });
    for (const name of ['cnf', 'sender', 'event_id']) expect(claims).not.toHaveProperty(name);
    // An unsigned request's own webhook-id proves nothing.
    const unsigned = await through({ path: '/certified', headers: [['webhook-id', 'msg_forged']] });
    expect(await claimsOf(unsigned)).not.toHaveProperty('event_id');
    expect(await claimsOf(unsigned)).toMatchObject({ checks: ['certificate'] });
    expect(decodeProtectedHeader(tokenOf(unsigned))).toEqual({ alg: 'EdDSA', typ: 'postern+jwt' });
  });

  test('covers a body that came in chunks, and an empty one', async () => {
    const digest = (text: string): string => createHash('sha256').update(text).digest('base64url');
    const whole = await claimsOf(
      await through({ path: '/certified', body: 'in three pieces', chunkBytes: 5 }),
    );
    expect(whole.body_sha256).toBe(digest('in three pieces'));
    const empty = await claimsOf(await through({ path: '/certified', method: 'GET', body: '' }));
    expect([empty.method, empty.body_sha256]).toEqual(['GET', digest('')]);
  });

  test('is made anew for each delivery', async () => {
    const [first, second] = [await through({ path: '/certified' }), await through({ path: '/certified' })];
    expect((await claimsOf(first)).jti).not.toBe((await claimsOf(second)).jti);
  });

  test('is signed by HS256 where the key is a shared secret', async () => {
    const token = tokenOf(await through({ path: '/shared' }));
    const { payload } = await jwtVerify(token, Buffer.from(sharedSecret), { algorithms: ['HS256'] });
    expect(payload).toMatchObject({ iss: 'postern', aud: 'ledger', route: 'shared' });
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'HS256', typ: 'postern+jwt' });
    const other = Buffer.from(randomBytes(32).toString('base64'));
    await expect(jwtVerify(token, other)).rejects.toThrow('signature verification failed');
  });

  test.each(['/plain', '/certified'])('is never the sender’s own (%s)', async (path) => {
    const forged = 'eyJhbGciOiJub25lIn0.eyJpc3MiOiJwb3N0ZXJuIn0.';
    const names = [
      'X-Postern-Attestation',
      'x-postern-attestation',
      'X_Postern_Attestation',
      'x.postern.attestation',
    ];
    const seen = await through({ path, headers: names.map((name) => [name, forged]) });
    expect(seen.rawHeaders.join('\n')).not.toContain(forged);
    if (path === '/plain') expect(headersOf(seen, FIELD)).toEqual([]);
    else expect(await claimsOf(seen)).toMatchObject({ route: 'certified' });
  });
});

describe('a signature that fails', () => {
  test('is 503 gateway.error: nothing is sent, and the event is free for its next copy', async () => {
    const before = upstream.heads();
    const body = JSON.stringify({ id: randomUUID(), of: 'an event to be repeated' });
    const sign = { secret: signingSecret, id: `msg_${randomUUID()}` };
    const failed = await post(gateway, { path: '/broken?1', body, sign });
    await expectProblem(gateway, failed, 503, 'gateway.error');
    expect(failed.header('retry-after')).toBe('5');
    expect(upstream.heads()).toBe(before);
    const line = await gateway.line((one) => one.msg === 'gateway error' && one.id === failed.id);
    expect(line.err).toMatchObject({ message: 'the key is gone' });
    await through({ path: '/broken', body, sign });
    await expectDuplicate(gateway, await post(gateway, { path: '/broken', body, sign }));
  });
});

test('a sender that leaves while the signature is made is not delivered for', async () => {
  const before = upstream.heads();
  const since = gateway.lines.length;
  const connection = await connect(gateway);
  const bytes = requestBytes({ path: '/slow', body: 'a body' });
  await new Promise((sent) => connection.socket.write(bytes, sent));
  connection.close();
  const record = await gateway.record(({ route }) => route === 'slow', since);
  expect([record.outcome, record.reason, record.status]).toEqual(['failed', 'body.incomplete', undefined]);
  expect(upstream.heads()).toBe(before);
});
