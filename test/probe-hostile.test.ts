import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import { describe, expect, it, type TestContext } from 'vitest';
import { runCommand } from './support/command.ts';
import { named, probe } from './support/probing.ts';
import { prepareSending, SECRET, signing } from './support/sending.ts';

const { file } = prepareSending();
const GOOD = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const NO = 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n';

type Behaviour = (socket: Socket, turn: number, server: Server) => void;

/** A server that does this with every connection; `turn` counts them from 0. */
async function serve(
  { onTestFinished }: TestContext,
  behave: Behaviour,
  plain = false,
  allowHalfOpen = false,
): Promise<string> {
  const sockets = new Set<Socket>();
  let turn = 0;
  const welcome = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    behave(socket, turn++, server);
  };
  const identity = { key: readFileSync(file('server.key')), cert: readFileSync(file('server.pem')) };
  const server: Server = plain
    ? createTcpServer(welcome)
    : createServer({ ...identity, allowHalfOpen }, welcome);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) server.close();
  });
  return `https://localhost:${(server.address() as AddressInfo).port}/in`;
}

/** Answers each request with this, once its head is there. */
const answering = (answer: string | ((turn: number) => string)) => (socket: Socket, turn: number) =>
  socket.once('data', () => socket.write(typeof answer === 'string' ? answer : answer(turn)));

const options = { certificate: false, secret: [SECRET], ca: '', timeout: '5s' };
const at = (url: string, other = {}, pace = {}) =>
  probe(url, { ...options, ca: file('ca.pem'), ...other }, pace);

/** Writes without end, as fast as it is taken. */
function flood(socket: Socket, text: string): void {
  const chunk = Buffer.alloc(65_536, text);
  const more = (): void => {
    while (socket.writable && socket.write(chunk));
  };
  socket.on('drain', more);
  more();
}

describe.concurrent('a receiver whose first answer is none is left alone after it:', () => {
  const CASES: readonly (readonly [string, Behaviour, object])[] = [
    ['it takes the request and is silent', () => {}, { kind: 'silent' }],
    ['it closes', (socket) => socket.once('data', () => socket.end()), { kind: 'closed', why: 'closed' }],
    ['it breaks off', (socket) => socket.once('data', () => socket.destroy()), { kind: 'closed' }],
    [
      'it closes within its answer',
      (socket) => socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-')),
      { kind: 'closed', why: 'closed within its answer' },
    ],
    [
      'it drips its answer',
      (socket) => {
        const timer = setInterval(() => socket.write('H'), 50);
        socket.once('close', () => clearInterval(timer));
      },
      { kind: 'garbage', why: 'no HTTP: "HH"' },
    ],
    [
      'it drips a head that does not end',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        const timer = setInterval(() => socket.write('A: b\r\n'), 20);
        socket.once('close', () => clearInterval(timer));
      },
      { kind: 'silent' },
    ],
    [
      'it floods with a head',
      (socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        flood(socket, 'A: b\r\n');
      },
      { kind: 'garbage', why: 'a head without end' },
    ],
    [
      'it floods with interim answers',
      (socket) => flood(socket, 'HTTP/1.1 102 Processing\r\n\r\n'),
      { kind: 'garbage', why: 'no end of 1xx answers' },
    ],
    [
      'it says what a terminal would obey',
      answering('\u001b[2J\u001b]0;owned\u0007HTTP/1.1 200 OK\r\n\r\n'),
      { kind: 'garbage', why: 'no HTTP: "?[2J?]0;owned?HTTP/1.1 2"' },
    ],
    ['it speaks HTTP/2', answering('\0\0\u0012\u0004\0\0\0\0\0'), { kind: 'garbage' }],
    ['it speaks HTTP/0.9', answering('<html>200 OK'), { kind: 'garbage' }],
    ['it has a status that is none', answering('HTTP/1.1 999 OK\r\n\r\n'), { kind: 'garbage' }],
    ['it changes protocols', answering('HTTP/1.1 101 Yes\r\n\r\n'), { kind: 'answer', status: 101 }],
    ['it redirects', answering('HTTP/1.1 307 There\r\nLocation: /\r\n\r\n'), { kind: 'answer', status: 307 }],
  ];
  for (const [what, behave, came] of CASES) {
    it(what, async (test) => {
      // What says nothing is waited for as long as one likes: the others must have said it by then.
      const timeout = 'kind' in came && came.kind === 'silent' ? '400ms' : '5s';
      const results = await at(await serve(test, behave), { timeout });
      expect(results).toMatchObject([{ verdict: 'miss', case: { name: 'good' }, came: [came] }]);
    });
  }

  it('it speaks no TLS', async (test) => {
    const results = await at(await serve(test, answering(GOOD), true));
    expect(results).toMatchObject([{ verdict: 'miss', came: [{ kind: 'garbage', why: 'no TLS' }] }]);
  });

  it('it takes the connection and never begins the handshake', async (test) => {
    const results = await at(await serve(test, () => {}, true), { timeout: '400ms' });
    expect(results).toMatchObject([{ verdict: 'miss', came: [{ kind: 'silent' }] }]);
  });

  it('nobody listens', async () => {
    const results = await at('https://localhost:1/in');
    expect(results).toMatchObject([
      { verdict: 'miss', came: [{ kind: 'unreachable', why: 'connection refused' }] },
    ]);
  });

  it('its own certificate is not trusted', async (test) => {
    const url = await serve(test, answering(GOOD));
    const results = await probe(url, { ...options, ca: file('client.pem') });
    expect(results).toMatchObject([{ verdict: 'miss', came: [{ kind: 'unreachable' }] }]);
    expect(results[0]?.came[0]).toMatchObject({ why: expect.stringContaining('is not trusted') });
  });
});

describe.concurrent('a receiver that answers', () => {
  it('and then goes on without end is heard by its status, and is not listened to for long', async (test) => {
    const url = await serve(
      test,
      (socket) => {
        socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
          flood(socket, '5\r\nhello\r\n');
        });
      },
      false,
      true,
    );
    const only = ['--only', 'resend', '--only', 'stale', '--json'];
    const args = ['probe', url, '--ca', file('ca.pem'), '--no-certificate', ...only];
    const { exitCode, stdout } = await runCommand(args, signing);
    expect(exitCode).toBe(1);
    expect(stdout.match(/"verdict":"\w+"/g)).toEqual(
      ['right', 'right', 'miss'].map((word) => `"verdict":"${word}"`),
    );
  });

  it('and keeps the connection open does not keep the probe', async (test) => {
    const url = await serve(test, answering(GOOD), false, true);
    const args = ['probe', url, '--ca', file('ca.pem'), '--no-certificate', '--only', 'resend'];
    expect((await runCommand(args, signing)).exitCode).toBe(0);
  });

  it('after interim answers, and before the request is there, is heard', async (test) => {
    const url = await serve(test, (socket) => {
      socket.write(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${GOOD}`);
      socket.on('data', () => undefined);
    });
    const results = await at(url, { only: ['large'] });
    expect(results.map(({ verdict }) => verdict)).toEqual(['right', 'right']);
  });

  it('the first event and is silent from then on is found to refuse nothing', async (test) => {
    const url = await serve(test, (socket, turn) => {
      if (turn === 0) answering(GOOD)(socket, turn);
    });
    const results = await at(url, { only: ['stale', 'unsigned', 'get'] }, { eachMs: 300 });
    expect(results.map(({ verdict }) => verdict)).toEqual(['right', 'miss', 'miss', 'miss']);
  });

  it('the first event and is silent from then on is left when the time is up', async (test) => {
    const url = await serve(test, (socket, turn) => {
      if (turn === 0) answering(GOOD)(socket, turn);
    });
    const results = await at(url, {}, { totalMs: 3_000, eachMs: 300 });
    expect(results.length).toBeGreaterThan(50);
    expect(named(results, 'right')).toEqual(['good']);
    expect(results.at(-1)).toMatchObject({ verdict: 'not judged', note: 'the time was used up before it' });
  });

  it('the first event and is gone from then on is found to refuse nothing', async (test) => {
    const url = await serve(test, (socket, turn, server) => {
      answering(GOOD)(socket, turn);
      server.close();
    });
    const results = await at(url, { only: ['stale'] });
    const gone = { kind: 'unreachable', why: 'connection refused' };
    expect(results).toMatchObject([{ verdict: 'right' }, { verdict: 'miss', came: [gone] }]);
  });

  it('the first event and is silent from then on is left when the time is up, in the middle of a case', async (test) => {
    let turns = 0;
    const url = await serve(test, (socket, turn) => {
      turns++;
      if (turn === 0) answering(GOOD)(socket, turn);
    });
    const results = await at(url, { only: ['look-alike-paths'] }, { totalMs: 5_000, eachMs: 1_000 });
    expect(results[1]).toMatchObject({ verdict: 'not judged', note: 'the time was used up' });
    expect(results[1]?.came.length).toBeLessThan(10);
    expect(turns).toBe(1 + (results[1]?.came.length ?? 0));
  });

  it('the first event and resets all others is found by the last, which is good', async (test) => {
    const url = await serve(test, (socket, turn) => {
      if (turn === 0) answering(GOOD)(socket, turn);
      else socket.destroy();
    });
    const results = await at(url);
    expect(named(results, 'right')).toContain('stale');
    expect(named(results, 'miss')).toEqual(expect.arrayContaining(['rotated-new-first', 'good-at-last']));
  });

  it('everything with 429 has shown nothing by it', async (test) => {
    const later = 'HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\nRetry-After: 3600\r\n\r\n';
    const results = await at(
      await serve(
        test,
        answering((turn) => (turn === 0 ? GOOD : later)),
      ),
    );
    expect(named(results, 'right')).toEqual(['good']);
    expect(named(results, 'miss')).toEqual([]);
    expect(named(results, 'not judged')).toEqual(
      expect.arrayContaining(['stale', 'unsigned', 'good-at-last']),
    );
  });

  it('503 and asks to come again in a second is asked again, once', async (test) => {
    const busy = 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nRetry-After: 1\r\n\r\n';
    let turns = 0;
    const url = await serve(
      test,
      answering((turn) => {
        turns++;
        return turn === 0 ? GOOD : turn === 1 ? busy : NO;
      }),
    );
    const results = await at(url, { only: ['stale'] });
    expect(results).toMatchObject([{ verdict: 'right' }, { verdict: 'right', came: [{ status: 401 }] }]);
    expect(turns).toBe(3);
  });
});

it('the good event with 401 and a Date of ten minutes ahead is told that its clock may be why', async (test) => {
  const date = new Date(Date.now() + 600_000).toUTCString();
  const refused = `HTTP/1.1 401 No\r\nContent-Length: 0\r\nDate: ${date}\r\n\r\n`;
  const args = ['probe', await serve(test, answering(refused)), '--ca', file('ca.pem'), '--no-certificate'];
  const { exitCode, stdout } = await runCommand(args, signing);
  expect(exitCode).toBe(1);
  expect(stdout).toMatch(
    /were not tried.* By its Date the receiver's clock is (?:10|9\.9) m ahead of this one\.\n$/,
  );
});
