import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeCertificates } from '../src/cli/certs-set.ts';
import { SAMPLE_EVENTS } from '../src/cli/sample-events.ts';
import { runCommand } from './support/command.ts';
import { BASIC, prepareSending, SECRET, signing, verify } from './support/sending.ts';

const { folder, file, ca, asCodat, asAlerts, receive } = prepareSending();

describe('one event', () => {
  it('goes out over mTLS and HTTP/1.1 without ALPN, signed, so that svix verifies it', async () => {
    const receiver = await receive({});
    const { exitCode, stderr } = await runCommand(
      ['send', `${receiver.origin}/codat/events?a=b`, ...asCodat],
      signing,
    );
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    const [event] = receiver.received;
    expect(event).toMatchObject({
      method: 'POST',
      path: '/codat/events?a=b',
      client: 'codat-client.example',
      alpn: false,
      headers: {
        'content-type': 'application/json',
        'user-agent': expect.stringMatching(/^postern-send\/\d/),
      },
    });
    expect(verify(receiver, 0, 'webhook')).toMatchObject({ eventType: 'invoices.write.successful' });
  });

  it('carries svix-* headers, and only those, as the sender svix', async () => {
    const receiver = await receive({});
    await runCommand(['send', receiver.origin, ...asCodat, '--sender', 'svix'], signing);
    expect(verify(receiver, 0, 'svix')).toMatchObject({ eventType: 'invoices.write.successful' });
    expect(receiver.received[0]?.headers).not.toHaveProperty('webhook-id');
  });

  it('is a body file, byte for byte, under the id, method, headers and secret that were given', async () => {
    const bytes = Buffer.from('{ "type":"über.event",\r\n "n": 1.0 }\n');
    writeFileSync(join(folder, 'body.json'), bytes);
    const receiver = await receive({});
    const given = [
      '--body',
      join(folder, 'body.json'),
      '--id',
      'msg_1',
      '--method',
      'put',
      '--secret',
      SECRET,
    ];
    const headers = ['--header', 'X-Codat-ClientId: 4f2c1e', '--header', 'Authorization:Bearer  a b '];
    const { stdout } = await runCommand(['send', receiver.origin, ...asCodat, ...given, ...headers]);
    expect(receiver.received[0]).toMatchObject({
      method: 'PUT',
      body: bytes,
      headers: { 'webhook-id': 'msg_1', 'x-codat-clientid': '4f2c1e', authorization: 'Bearer  a b' },
    });
    verify(receiver, 0, 'webhook');
    expect(stdout).toContain('  msg_1  über.event  1/8  200  ');
  });

  it('may come with certificate and key in two files, without a signature, or without a certificate', async () => {
    const receiver = await receive({});
    const apart = ['--cert', file('client.pem'), '--key', file('client.key')];
    await runCommand(['send', receiver.origin, ...ca, ...apart, '--no-signature']);
    await runCommand(['send', receiver.origin, ...ca, '--no-certificate'], signing);
    expect(receiver.received.map(({ client }) => client)).toEqual(['codat-client.example', undefined]);
    expect(receiver.received[0]?.headers).not.toHaveProperty('webhook-signature');
  });

  it('is a rule alert with its Authorization and nothing else as codat-alerts', async () => {
    const receiver = await receive({});
    const { exitCode } = await runCommand(['send', receiver.origin, ...asAlerts], signing);
    expect(exitCode).toBe(0);
    const [alert] = receiver.received;
    expect(alert).toMatchObject({
      client: undefined,
      headers: { authorization: BASIC.slice('Authorization: '.length) },
    });
    expect(JSON.parse(String(alert?.body))).toMatchObject({ RuleType: 'Data sync completed' });
    expect(Object.keys(alert?.headers ?? {}).filter((name) => /^(webhook|svix)-/.test(name))).toEqual([]);
  });
});

describe('what is printed', () => {
  it('is a line for each attempt, with what the sender would do next, and a summary', async () => {
    const receiver = await receive({ answer: ({ headers }) => ({ status: headers['x-turn'] ? 200 : 500 }) });
    const { exitCode, stdout } = await runCommand(['send', receiver.origin, ...asAlerts]);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} {2}msg_\w+ {2}Data sync completed {2}1\/4 {2}500 {2}\d+ ms {2}gives up: 500 is not retried by codat-alerts\n1 event: 0 accepted, 1 given up; 1 attempt in \d+\.\d s\n$/,
    );
  });

  it('is one JSON object for each attempt with --json, the summary going to stderr', async () => {
    let turn = 0;
    const answer = () =>
      turn++ ? { status: 204 } : { status: 503, headers: { 'Retry-After': '30', 'X-Request-Id': 'r1' } };
    const receiver = await receive({ answer });
    const { exitCode, stdout, stderr } = await runCommand([
      'send',
      receiver.origin,
      ...asAlerts,
      '--fast',
      '--json',
    ]);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^1 event: 1 accepted, 0 given up; 2 attempts in /);
    const [first, second] = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(first).toMatchObject({
      event_type: 'Data sync completed',
      attempt: 1,
      attempts: 4,
      status: 503,
      retry_after: '30',
      request_id: 'r1',
      next: 'retry',
      pause_ms: 30_000,
      pause_now_ms: 0.8,
    });
    expect(second).toMatchObject({ message_id: first.message_id, attempt: 2, status: 204, next: 'accepted' });
  });

  it('says in words why there was no answer', async () => {
    const required = await receive({ clientCertificate: 'required' });
    const silent = await receive({ answer: () => 'never' });
    const elsewhere = ['--ca', join(folder, 'other', 'ca.pem')];
    await makeCertificates({
      folder: join(folder, 'other'),
      hosts: [],
      clientName: 'other.example',
      days: 2,
    });
    const gone = await receive({});
    await gone.close();
    const why = async (...args: string[]) =>
      /1\/4 {2}no answer: (.*?) {2}\d/.exec((await runCommand(['send', ...args, '--fast'])).stdout)?.[1];
    expect(await why(required.origin, ...asAlerts)).toBe('TLS alert: certificate required');
    expect(await why(silent.origin, ...asAlerts, '--timeout', '50ms')).toBe('no answer within 50 ms');
    expect(await why(silent.origin, '--sender', 'codat-alerts', ...elsewhere)).toContain(
      'certificate is not trusted',
    );
    expect(await why(gone.origin, ...asAlerts)).toBe('connection refused');
  });

  it('is the catalogue with --list-events', async () => {
    const { exitCode, stdout } = await runCommand(['send', '--list-events']);
    expect(exitCode).toBe(0);
    const names = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]);
    expect(names).toEqual(SAMPLE_EVENTS.map(({ name }) => name));
    expect(names.length).toBeGreaterThanOrEqual(12);
  });
});

describe('many events', () => {
  it('each have their own id and body, and exit code 1 when one was given up', async () => {
    let turn = 0;
    const receiver = await receive({ answer: () => ({ status: turn++ === 1 ? 400 : 200 }) });
    const { exitCode, stdout } = await runCommand([
      'send',
      receiver.origin,
      ...asAlerts,
      '--count',
      '5',
      '--rate',
      '500/s',
    ]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain('5 events: 4 accepted, 1 given up; 5 attempts in ');
    expect(new Set(stdout.match(/msg_\w+/g)).size).toBe(5);
    expect(new Set(receiver.received.map(({ body }) => body.toString())).size).toBe(5);
  });
});
