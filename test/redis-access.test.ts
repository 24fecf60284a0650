import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Authority, createAuthority } from './support/ca.ts';
import { expectDelivered, expectDuplicate } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { hasRedis, type RedisServer, startRedis } from './support/redis.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, post } from './support/sender.ts';
import { startUpstream, type Upstream, unusedPort } from './support/upstream.ts';

const secret = newSecret();
const PASSWORD = 'p@ss/w:rd?of#the%test';
const encoded = encodeURIComponent(PASSWORD);

describe.skipIf(!hasRedis())('the way to Redis', () => {
  let upstream: Upstream;
  let authority: Authority;
  beforeAll(async () => {
    upstream = await startUpstream();
    authority = await createAuthority('Redis test CA');
  });

  const start = (state: object, files: Record<string, string> = {}): Promise<Gateway> =>
    startGateway(
      {
        state: { driver: 'redis', ...state },
        upstreams: { app: upstream.url },
        routes: [
          {
            name: 'a',
            path: '/a',
            addresses: 'any',
            upstream: 'app',
            signature: { scheme: 'standard-webhooks', secrets: [secret] },
            rate_limit: { rate: '1000/s' },
          },
        ],
      },
      { files },
    );
  const send = (gateway: Gateway, id: string): Promise<Answer> =>
    post(gateway, { path: '/a', body: '{"a":1}', sign: { secret, id } });

  async function expectWorks(gateway: Gateway): Promise<void> {
    const id = `msg_${randomUUID()}`;
    await expectDelivered(gateway, await send(gateway, id));
    await expectDuplicate(gateway, await send(gateway, id));
    expect(await gateway.stop()).toBe(0);
    expect(gateway.output()).not.toContain(PASSWORD);
    expect(gateway.output()).not.toContain(encoded);
  }

  /** Resolves with what the gateway says is wrong. */
  async function expectAway(gateway: Gateway): Promise<string> {
    const { problem } = await gateway.line(({ msg }) => msg === 'state away');
    expect(await gateway.stop()).toBe(0);
    expect(gateway.output()).not.toContain(PASSWORD);
    return String(problem);
  }

  async function filesOf(): Promise<Record<string, string>> {
    const names = [{ type: 'ip', value: '127.0.0.1' }] as const;
    const { certificate, key } = await authority.issue({ commonName: 'redis', names, usage: 'server' });
    const client = await authority.issue({ commonName: 'gateway', usage: 'client' });
    return {
      'server.pem': certificate,
      'server.key': key,
      'ca.pem': authority.certificate,
      'redis-client.pem': `${client.certificate}\n${client.key}`,
    };
  }

  describe('with an ACL user', () => {
    let redis: RedisServer;
    const rules = [
      'user default off',
      `user gate on >${PASSWORD} ~{postern}:* +@all -@dangerous +info +config|get`,
      `user mute on >${PASSWORD} ~{postern}:* +@all -@scripting`,
    ];
    beforeAll(async () => {
      redis = await startRedis({ config: rules });
    });
    const url = (who: string): string => `redis://${who}@127.0.0.1:${redis.port}`;

    test('the right password lets in, percent-encoded', async () =>
      expectWorks(await start({ url: url(`gate:${encoded}`) })));

    test('a wrong one is said to be wrong', async () => {
      const problem = await expectAway(await start({ url: url('gate:wrong') }));
      expect(problem).toBe('redis: it does not accept the user name and password of state.url');
    });

    test('none is said to lack', async () => {
      const problem = await expectAway(await start({ url: redis.url }));
      expect(problem).toMatch(/^redis: it asks for a password; give state\.url one/);
    });

    test('a user without a right that the state needs is found at the start', async () => {
      const problem = await expectAway(await start({ url: url(`mute:${encoded}`) }));
      expect(problem).toMatch(/the user of state\.url lacks a right \(NOPERM .*'eval/);
    });

    test('keys of another prefix are a right that lacks', async () => {
      const problem = await expectAway(await start({ url: url(`gate:${encoded}`), prefix: 'other' }));
      expect(problem).toMatch(/lacks a right \(NOPERM/);
    });
  });

  describe('over TLS', () => {
    let redis: RedisServer;
    let files: Record<string, string>;
    beforeAll(async () => {
      files = await filesOf();
      redis = await startRedis({ tls: true, files });
    });
    const gatewayFiles = () => ({
      'redis-ca.pem': authority.certificate,
      'redis-client.pem': files['redis-client.pem'] ?? '',
    });

    test('an authority that vouches for it and a client certificate let in', async () => {
      const tls = { ca: 'redis-ca.pem', certificate: 'redis-client.pem' };
      await expectWorks(await start({ url: `rediss://127.0.0.1:${redis.port}`, tls }, gatewayFiles()));
    });

    test('without the authority Redis is not believed, and that is said', async () => {
      const problem = await expectAway(await start({ url: `rediss://127.0.0.1:${redis.port}` }));
      expect(problem).toMatch(/^redis: TLS: .*state\.tls\.ca/);
    });

    test('without a client certificate Redis does not let in', async () => {
      const tls = { ca: 'redis-ca.pem' };
      await expectAway(await start({ url: `rediss://127.0.0.1:${redis.port}`, tls }, gatewayFiles()));
    });
  });

  test('a cluster: all keys of a prefix are in one slot', async () => {
    const redis = await startRedis({ config: ['cluster-enabled yes', 'cluster-announce-ip 127.0.0.1'] });
    const client = redis.client();
    await client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
    const isUp = async () => String(await client.call('CLUSTER', 'INFO')).includes('cluster_state:ok');
    while (!(await isUp())) await new Promise((resolve) => setTimeout(resolve, 50));
    await expectWorks(await start({ url: `redis+cluster://127.0.0.1:${redis.port}` }));
    const keys = await client.keys('*');
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) expect(key).toMatch(/^\{postern\}:/);
  });

  test('sentinels: the master is asked of the first that answers', async () => {
    const redis = await startRedis({ config: [`requirepass "${PASSWORD}"`, `masterauth "${PASSWORD}"`] });
    const watched = [
      `sentinel monitor the-master 127.0.0.1 ${redis.port} 1`,
      `sentinel auth-pass the-master "${PASSWORD}"`,
    ];
    const sentinel = await startRedis({ sentinel: true, config: watched });
    const hosts = `127.0.0.1:${await unusedPort()},127.0.0.1:${sentinel.port}`;
    await expectWorks(await start({ url: `redis+sentinel://:${encoded}@${hosts}/the-master/0` }));
    await expectAway(await start({ url: `redis+sentinel://:${encoded}@${hosts}/other-master/0` }));
  });

  describe('what of its settings can lose events', () => {
    const warningsOf = async (config: string[]): Promise<string[]> => {
      const redis = await startRedis({ config });
      const gateway = await start({ url: redis.url });
      await expectWorks(gateway);
      const lines = gateway.lines.filter(({ msg }) => msg === 'state');
      return lines.map(({ warning }) => String(warning).replace(/^redis \S+: /, ''));
    };

    test('nothing is said of one that loses nothing', async () => expect(await warningsOf([])).toEqual([]));

    test('no file, or a file that is written late, is said', async () => {
      expect(await warningsOf(['appendonly no'])).toEqual([expect.stringMatching(/^appendonly is no/)]);
      expect(await warningsOf(['appendfsync everysec'])).toEqual([
        expect.stringMatching(/^appendfsync is everysec: a power failure loses the last second/),
      ]);
    });

    test('eviction is said', async () =>
      expect(await warningsOf(['maxmemory-policy allkeys-lru', 'maxmemory 100mb'])).toEqual([
        expect.stringMatching(/^maxmemory-policy is allkeys-lru: when its memory is full/),
      ]));

    test('a server that does not tell is no fault', async () => {
      const hidden = await warningsOf(['rename-command CONFIG ""']);
      expect(hidden).toEqual([expect.stringMatching(/^does not tell its settings/)]);
    });
  });
});
