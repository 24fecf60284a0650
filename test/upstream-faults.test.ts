import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectDuplicate, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post, requestBytes } from './support/sender.ts';
import { type RawConnection, type RawUpstream, startRawUpstream } from './support/upstream.ts';

const secret = newSecret();
let raw: RawUpstream;
let gateway: Gateway;
let received: (connection: RawConnection, chunk: Buffer) => void;

beforeAll(async () => {
  raw = await startRawUpstream();
  raw.handle((connection) => {
    connection.socket.on('data', (chunk: Buffer) => received(connection, chunk));
  });
  const upstreams = {
    app: raw.url,
    slow: { targets: [raw.url], timeout: '1s', late: '500ms' },
    unclaimed: { targets: [raw.url], timeout: '1s' },
  };
  const route = { addresses: 'any', body_limit: '16MiB' };
  const signature = { secrets: [secret] };
  gateway = await startGateway({
    upstreams,
    routes: [
      { name: 'app', path: '/app', upstream: 'app', signature, ...route },
      { name: 'slow', path: '/slow', upstream: 'slow', signature, ...route },
      { name: 'codat', path: '/codat', upstream: 'app', sender: 'codat', signature, ...route },
      { name: 'open', path: '/open', upstream: 'unclaimed', ...route },
    ],
  });
});

const newId = (): string => `msg_${randomUUID()}`;
const send = (path: string, id: string, body = `{"id":"${id}"}`): Promise<Answer> =>
  post(gateway, { path, body, sign: { secret, id } });
const timesSeen = (id: string): number => raw.text().split(`webhook-id: ${id}`).length - 1;

/** What the upstream does with every whole request from now on, on new connections and on kept ones. */
function answering(act: (connection: RawConnection) => void): void {
  received = (connection, chunk) => {
    if (chunk.includes('}')) act(connection);
  };
}
const says = (text: string) => answering(({ socket }) => void socket.write(text, 'latin1'));
const ACCEPTED = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';

/** Writes a start, and then the same again and again until the connection ends; resolves then. */
async function flood({ socket, closed }: RawConnection, start: string, text: string): Promise<void> {
  socket.write(start, 'latin1');
  const bytes = Buffer.from(text, 'latin1');
  while (!socket.destroyed) {
    if (socket.write(bytes)) continue;
    const drained = Promise.withResolvers<void>();
    socket.once('drain', drained.resolve);
    await Promise.race([drained.promise, closed]);
  }
}

/** Lets the upstream flood what it is asked for; resolves when the gateway has ended that connection. */
function flooding(start: string, again: string): Promise<void> {
  return new Promise((resolve) => {
    answering((connection) => resolve(flood(connection, start, again)));
  });
}

const OK = 'HTTP/1.1 200 OK\r\n';
const EARLY_HINTS = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n';

describe('a fault before the status line: the event is free, and its next copy is delivered', () => {
  test.each<[string, number, string, (connection: RawConnection) => void]>([
    ['a reset', 502, 'upstream.reset', ({ socket }) => void socket.resetAndDestroy()],
    ['a half-close', 502, 'upstream.reset', ({ socket }) => void socket.end()],
    ['half a head and its end', 502, 'upstream.reset', ({ socket }) => void socket.end('HTTP/1.1 200 O')],
    ['what is no HTTP', 502, 'upstream.invalid', ({ socket }) => void socket.write('SSH-2.0-x\r\n')],
    [
      'two lengths',
      502,
      'upstream.invalid',
      ({ socket }) => void socket.write(`${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`),
    ],
    [
      'a head without end',
      502,
      'upstream.invalid',
      (one) => flood(one, OK, `X-Field: ${'x'.repeat(100)}\r\n`),
    ],
    [
      'one field without end',
      502,
      'upstream.invalid',
      (one) => flood(one, `${OK}X-Field: `, 'x'.repeat(1000)),
    ],
    ['interim answers without end', 502, 'upstream.invalid', (one) => flood(one, '', EARLY_HINTS)],
  ])('%s', async (_what, status, reason, act) => {
    const id = newId();
    answering(act);
    const record = await expectProblem(gateway, await send('/app', id), status, reason);
    expect([record.outcome, record.upstream, record.upstream_status]).toEqual(['failed', raw.url, undefined]);
    expect(timesSeen(id)).toBe(1);
    says(ACCEPTED);
    await expectDelivered(gateway, await send('/app', id));
    expect(timesSeen(id)).toBe(2);
  });
});

test('no status line in time: 504, and after `late` the event is free', async () => {
  const ways: Record<string, (connection: RawConnection) => void> = {
    silence: () => undefined,
    'an interim answer and silence': ({ socket }) => void socket.write(EARLY_HINTS),
    'half a head and silence': ({ socket }) => void socket.write(`${OK}X-Field: x`),
    'a status line without end': (one) => flood(one, 'HTTP/1.1 200 ', 'x'.repeat(1000)),
  };
  received = (connection, chunk) => {
    for (const [way, act] of Object.entries(ways)) if (chunk.includes(way)) act(connection);
  };
  const since = gateway.lines.length;
  const ids = await Promise.all(
    Object.keys(ways).map(async (way) => {
      const id = newId();
      await expectProblem(gateway, await send('/slow', id, `{"way":"${way}"}`), 504, 'upstream.timeout');
      const late = await gateway.line((line) => line.msg === 'late answer' && line.message_id === id, since);
      expect([way, late.reason]).toEqual([way, 'upstream.timeout']);
      return id;
    }),
  );
  says(ACCEPTED);
  for (const id of ids) {
    await expectDelivered(gateway, await send('/slow', id));
    expect(timesSeen(id)).toBe(2);
  }
});

describe('a fault behind the status line: that line decides what became of the event', () => {
  test.each([
    ['a reset in the middle of the body', 'Content-Length: 100\r\n\r\nonly this'],
    ['a reset where the length is not told', '\r\nonly this'],
    ['a broken chunk', 'Transfer-Encoding: chunked\r\n\r\nZZ\r\n'],
  ])('%s: after 200 a copy is a duplicate, after 500 it is delivered', async (_what, rest) => {
    for (const [line, times] of [
      [OK, 1],
      ['HTTP/1.1 500 Oh\r\n', 2],
    ] as const) {
      const id = newId();
      answering(({ socket }) => socket.write(`${line}${rest}`, 'latin1', () => socket.resetAndDestroy()));
      const answer = await send('/app', id);
      expect(answer.status).toBe(502);
      expect((await gateway.record(answer.id)).reason).toMatch(/^upstream\.(reset|invalid)$/);
      says(ACCEPTED);
      const copy = await send('/app', id);
      if (times === 1) await expectDuplicate(gateway, copy);
      else await expectDelivered(gateway, copy);
      expect(timesSeen(id)).toBe(times);
    }
  });
});

describe('a body without end', () => {
  test('flows for as long as its sender reads, and ends when that leaves; the event was delivered', async () => {
    const id = newId();
    const ended = flooding(`${OK}\r\n`, 'x'.repeat(64 * 1024));
    const connection = await connect(gateway);
    const since = gateway.lines.length;
    connection.send(requestBytes({ path: '/app', body: '{}', sign: { secret, id } }));
    let bytes = 0;
    connection.socket.on('data', (data) => {
      bytes += data.length;
      if (bytes > 4 * 1024 * 1024) connection.close();
    });
    await ended;
    const record = await gateway.record((one) => one.path === '/app', since);
    expect([record.outcome, record.upstream_status]).toEqual(['delivered', 200]);
    says(ACCEPTED);
    await expectDuplicate(gateway, await send('/app', id));
    expect(timesSeen(id)).toBe(1);
  });

  test('of an answer that the sender gets no body of is not read: its connection is cut', async () => {
    const id = newId();
    const ended = flooding('HTTP/1.1 500 Oh\r\n\r\n', 'x'.repeat(64 * 1024));
    const record = await expectProblem(gateway, await send('/codat', id), 500, 'upstream.failed');
    expect(record.upstream_status).toBe(500);
    await ended;
  });

  test.each(['/slow', '/open'])('that drips is 504 at the end of the time: %s', async (path) => {
    const id = newId();
    const asked = Promise.withResolvers<RawConnection>();
    answering((connection) => {
      asked.resolve(connection);
      connection.socket.write(`${OK}\r\n`);
      const drip = setInterval(() => connection.socket.write('.'), 20);
      connection.socket.once('close', () => clearInterval(drip));
    });
    await expectProblem(gateway, await send(path, id), 504, 'upstream.timeout');
    await (await asked.promise).closed;
    says(ACCEPTED);
    if (path === '/slow') await expectDuplicate(gateway, await send(path, id));
  });
});

describe('an answer before the body was read', () => {
  const large = `{"large":"${'x'.repeat(8 * 1024 * 1024)}"}`;

  test('does not keep the upstream from reading the rest of it', async () => {
    const id = newId();
    const asked = Promise.withResolvers<RawConnection>();
    received = (connection) => {
      connection.socket.write(ACCEPTED);
      asked.resolve(connection);
      received = () => undefined;
    };
    await expectDelivered(gateway, await send('/app', id, large));
    await (await asked.promise).until(/"\}$/);
    expect(timesSeen(id)).toBe(1);
  });

  test('leaves no connection on which the next request would wait behind the rest', async () => {
    const ids = [newId(), newId()] as const;
    received = ({ socket }) => {
      socket.pause();
      socket.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n');
    };
    const answer = await send('/app', ids[0], large);
    expect([answer.status, (await gateway.record(answer.id)).reason]).toEqual([413, 'upstream.refused']);
    says(ACCEPTED);
    await expectDelivered(gateway, await send('/app', ids[1]));
    await expectDelivered(gateway, await send('/app', ids[0]));
    expect(ids.map(timesSeen)).toEqual([2, 1]);
  });
});
