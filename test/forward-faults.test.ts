import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectDelivered, expectProblem } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { type Answer, connect, post, requestBytes } from './support/sender.ts';
import {
  type RawConnection,
  type RawUpstream,
  startRawUpstream,
  startUpstream,
  type Upstream,
  unusedPort,
} from './support/upstream.ts';

let upstream: Upstream;
let raw: RawUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await startUpstream();
  raw = await startRawUpstream();
  const route = (name: string) => ({ name, path: `/${name}`, addresses: 'any', upstream: name });
  gateway = await startGateway({
    upstreams: {
      app: upstream.url,
      raw: raw.url,
      down: `http://127.0.0.1:${await unusedPort()}`,
      slow: { targets: [upstream.url], timeout: '300ms' },
    },
    routes: ['app', 'raw', 'down', 'slow'].map(route),
  });
});
afterEach(() => upstream.answer());

const send = (path: string, body = `event ${randomUUID()}`): Promise<Answer> => post(gateway, { path, body });
const timesSeen = (text: string): number => raw.text().split(text).length - 1;

/** What the raw upstream says once it has a whole request, on every connection from now on. */
function rawAnswers(answer: string, then: 'end' | 'reset' | 'stay' = 'stay'): void {
  raw.handle((connection) => {
    connection.socket.on('data', () => {
      if (!/\r\n\r\n./s.test(connection.text())) return;
      connection.socket.write(answer, 'latin1', () => {
        if (then === 'end') connection.socket.end();
        if (then === 'reset') connection.socket.resetAndDestroy();
      });
    });
  });
}

test('nothing listens: 502 upstream.unreachable', async () => {
  const answer = await send('/down');
  const record = await expectProblem(gateway, answer, 502, 'upstream.unreachable');
  expect([record.outcome, record.upstream_status]).toEqual(['failed', undefined]);
});

describe('a connection that ends before the answer is 502 upstream.reset, and the request was sent once', () => {
  test.each(['end', 'reset'] as const)('by %s after the whole request', async (how) => {
    const body = `event ${randomUUID()}`;
    rawAnswers('', how);
    const record = await expectProblem(gateway, await send('/raw', body), 502, 'upstream.reset');
    expect(record.outcome).toBe('failed');
    expect(timesSeen(body)).toBe(1);
  });

  test('in the middle of the answer’s head', async () => {
    const body = `event ${randomUUID()}`;
    rawAnswers('HTTP/1.1 200 OK\r\nContent-Le', 'reset');
    await expectProblem(gateway, await send('/raw', body), 502, 'upstream.reset');
    expect(timesSeen(body)).toBe(1);
  });

  test.each(['POST', 'PUT', 'GET'])(
    'when a kept connection is closed as a %s uses it again',
    async (method) => {
      let requests = 0;
      raw.handle((connection: RawConnection) => {
        connection.socket.on('data', () => {
          const whole = connection.text().split('\r\n\r\nevent').length - 1;
          requests = whole;
          if (whole === 1) connection.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
          else connection.socket.resetAndDestroy();
        });
      });
      const [one, two] = [`event ${randomUUID()}`, `event ${randomUUID()}`];
      await expectDelivered(gateway, await send('/raw', one));
      const before = raw.connections.length;
      const answer = await post(gateway, { path: '/raw', method, body: two });
      await expectProblem(gateway, answer, 502, 'upstream.reset');
      expect([requests, timesSeen(two), raw.connections.length - before]).toEqual([2, 1, 0]);
    },
  );
});

describe('an answer that is none is 502 upstream.invalid', () => {
  test.each([
    'HELLO\r\n\r\n',
    'HTTP/1.1 abc OK\r\n\r\n',
    'SSH-2.0-OpenSSH\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    'HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  ])('%j', async (answer) => {
    const body = `event ${randomUUID()}`;
    rawAnswers(answer);
    await expectProblem(gateway, await send('/raw', body), 502, 'upstream.invalid');
    expect(timesSeen(body)).toBe(1);
  });
});

test('what an upstream sends beyond its answer never becomes the answer to another request', async () => {
  rawAnswers(
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
  );
  for (let count = 0; count < 4; count++) {
    const answer = await send('/raw');
    expect(answer.body.toString()).not.toContain('poison');
    if (answer.status === 200) expect(answer.body.toString()).toBe('ok');
    else expect((await gateway.record(answer.id)).reason).toMatch(/^upstream\.(invalid|reset)$/);
  }
});

const CREATED = 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok';

test('an interim answer is passed over (RFC 9110 section 15.2)', async () => {
  rawAnswers(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${CREATED}`, 'end');
  const answer = await send('/raw');
  await expectDelivered(gateway, answer, 201);
  expect([answer.body.toString(), answer.header('link')]).toEqual(['ok', undefined]);
});

// The upstream client takes an unasked 100 for the end of the answer (ARCHITECTURE.md, "Known limits").
test('a 100 that nobody asked for is 502 upstream.invalid', async () => {
  rawAnswers(`HTTP/1.1 100 Continue\r\n\r\n${CREATED}`, 'end');
  await expectProblem(gateway, await send('/raw'), 502, 'upstream.invalid');
});

test('an answer delimited by the end of the connection arrives whole', async () => {
  rawAnswers('HTTP/1.1 200 OK\r\n\r\nuntil the end', 'end');
  const answer = await send('/raw');
  await expectDelivered(gateway, answer);
  expect(answer.body.toString()).toBe('until the end');
});

describe('an answer that breaks off in its body', () => {
  test.each([
    'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nonly \r\n',
    'HTTP/1.1 200 OK\r\n\r\nonly this, and no length',
    `HTTP/1.1 200 OK\r\n\r\n${'too much to be held '.repeat(10_000)}`,
  ])('never looks complete to the sender: %#', async (text) => {
    rawAnswers(text, 'reset');
    const since = gateway.lines.length;
    const connection = await connect(gateway);
    connection.send(requestBytes({ path: '/raw', body: `event ${randomUUID()}` }));
    // Either it was known in time to say 502, or what was begun is broken off as well.
    const outcome = await connection.answer().then(
      (answer) => answer.status,
      (error: Error) => error.message,
    );
    expect(String(outcome)).toMatch(/^502$|^connection ended/);
    const record = await gateway.record((one) => one.path === '/raw', since);
    expect(record.reason).toBe('upstream.reset');
    connection.close();
  });
});

/** Lets the upstream answer nothing; resolves once an exchange with it is given up. */
function untilAbandoned(): Promise<void> {
  return new Promise((resolve) => {
    upstream.answer((_request, response) => response.once('close', () => resolve()));
  });
}

describe('a slow upstream on a route without claims', () => {
  test('is 504 upstream.timeout, the exchange is given up, and nothing is sent again', async () => {
    const body = `event ${randomUUID()}`;
    const abandoned = untilAbandoned();
    const record = await expectProblem(gateway, await send('/slow', body), 504, 'upstream.timeout');
    expect(record.outcome).toBe('failed');
    await abandoned;
    expect(upstream.requests.filter((one) => one.body.toString() === body)).toHaveLength(1);
  });
});

test('an answer that stops in its body is not waited for without end', async () => {
  upstream.answer((_request, response) => {
    response.writeHead(200);
    response.write('and then nothing');
  });
  const since = gateway.lines.length;
  const connection = await connect(gateway);
  connection.send(requestBytes({ path: '/slow', body: 'x' }));
  const outcome = await connection.answer().then(
    (answer) => answer.status,
    (error: Error) => error.message,
  );
  expect(String(outcome)).toMatch(/^504$|^connection ended/);
  const record = await gateway.record((one) => one.path === '/slow', since);
  expect(record.reason).toBe('upstream.timeout');
  connection.close();
});

describe('a sender that goes away', () => {
  test('is noticed also behind so much sent ahead that nothing more is read', async () => {
    const body = `event ${randomUUID()}`;
    const abandoned = untilAbandoned();
    const since = gateway.lines.length;
    const connection = await connect(gateway);
    const ahead = Buffer.alloc(400 * 1024, requestBytes({ path: '/app', body: 'ahead' }));
    connection.send(Buffer.concat([requestBytes({ path: '/app', body }), ahead]));
    await upstream.request((one) => one.body.toString() === body);
    connection.close();
    await abandoned;
    const record = await gateway.record((one) => one.path === '/app', since);
    expect(record.status).toBeUndefined();
    upstream.answer();
  });

  test('while the upstream works, on a route without claims, ends the exchange', async () => {
    const body = `event ${randomUUID()}`;
    const abandoned = untilAbandoned();
    const since = gateway.lines.length;
    const connection = await connect(gateway);
    connection.send(requestBytes({ path: '/app', body }));
    await upstream.request((one) => one.body.toString() === body);
    connection.close();
    await abandoned;
    const record = await gateway.record((one) => one.path === '/app', since);
    expect(record.status).toBeUndefined();
    upstream.answer();
    await expectDelivered(gateway, await send('/app'));
  });

  test('in the middle of a large answer ends it at the upstream', async () => {
    const chunk = Buffer.alloc(256 * 1024);
    const abandoned = new Promise<void>((resolve) => {
      upstream.answer(async (_request, response) => {
        response.once('close', () => resolve());
        response.writeHead(200);
        while (!response.destroyed)
          if (!response.write(chunk)) await Promise.race([once(response, 'drain'), once(response, 'close')]);
      });
    });
    const connection = await connect(gateway);
    connection.send(requestBytes({ path: '/app', body: 'x' }));
    await once(connection.socket, 'data');
    connection.close();
    await abandoned;
    upstream.answer();
    await expectDelivered(gateway, await send('/app'));
  });
});
