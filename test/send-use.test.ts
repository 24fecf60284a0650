import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { planSend } from '../src/cli/send/options.ts';
import { sendCommand } from '../src/cli/send.ts';
import { runCommand } from './support/command.ts';
import { prepareSending, SECRET } from './support/sending.ts';

const { folder, file, asCodat, asAlerts } = prepareSending();
const url = 'https://localhost:1/';
const body = join(folder, 'bytes');

describe('wrong use ends with exit code 2 and a sentence:', () => {
  it.each([
    ['no URL', [], "missing required argument 'url'"],
    ['a URL that is none', ['localhost', ...asCodat], 'localhost is not a URL to send to'],
    ['a URL without TLS', ['http://localhost/', ...asCodat], 'is not a URL to send to'],
    ['no bundle', [url], 'give --bundle FILE'],
    ['a bundle that is not there', [url, '--bundle', 'nothing.pem'], 'cannot read nothing.pem'],
    [
      'a bundle without a key',
      [url, '--bundle', file('client.pem')],
      'client.pem holds no unencrypted private key',
    ],
    [
      'a bundle without a certificate',
      [url, '--bundle', file('client.key')],
      'client.key holds no certificate',
    ],
    [
      'a certificate of another key',
      [url, '--key', file('ca.key'), '--cert', file('client.pem')],
      'is not that of',
    ],
    ['a certificate without a key', [url, '--cert', file('client.pem')], '--cert and --key go together'],
    ['a CA that is none', [url, ...asCodat, '--ca', file('ca.key')], 'ca.key holds no certificate'],
    ['a secret that is none', [url, ...asCodat, '--secret', 'whsec_?'], 'the signing secret is not base64'],
    [
      'a whsk_ key that is none',
      [url, ...asCodat, '--secret', 'whsk_aaaa'],
      'the whsk_ key is not base64 of an Ed25519 private key',
    ],
    [
      'a whsk_ key with the public half of another',
      [url, ...asCodat, '--secret', `whsk_${Buffer.alloc(64, 1).toString('base64')}`],
      'the whsk_ key is not base64 of an Ed25519 private key',
    ],
    ['a public key', [url, ...asCodat, '--secret', 'whpk_aaaa'], 'give the private key'],
    [
      'twelve secrets',
      [url, ...asCodat, ...Array<string[]>(12).fill(['--secret', SECRET]).flat()],
      '12 signing secrets: a sender signs with 11 at most',
    ],
    ['no secret', [url, ...asCodat], 'set POSTERN_SEND_SECRET'],
    [
      'an unknown event',
      [url, ...asCodat, '--secret', SECRET, '--event', 'a.b'],
      '--event a.b: there is no such sample',
    ],
    ['an unknown sender', [url, '--sender', 'nobody'], 'there are adyen, codat, codat-alerts'],
    [
      'a bundle for the alerts',
      [url, '--bundle', file('client.pem'), '--sender', 'codat-alerts'],
      'leave --bundle out',
    ],
    ['a header that is none', [url, ...asAlerts, '--header', 'nothing'], "give 'Name: value'"],
    ['a header of the connection', [url, ...asAlerts, '--header', 'Content-Length: 1'], 'cannot be set'],
    ['an id with a full stop', [url, ...asAlerts, '--id', 'a.b'], '--id a.b: give 1 to 256'],
    ['one id for two events', [url, ...asAlerts, '--id', 'a', '--count', '2'], '--id names one event'],
    ['no count', [url, ...asAlerts, '--count', '0'], '--count 0: give a whole number'],
    ['a rate that is none', [url, ...asAlerts, '--rate', '5'], '--rate 5: give a rate such as 5/s'],
    [
      'a timeout that is none',
      [url, ...asAlerts, '--timeout', '5'],
      '--timeout 5: give a duration such as 15s',
    ],
    ['bytes that are no text', [url, ...asCodat, '--secret', SECRET, '--body', body], 'is not UTF-8 text'],
  ])('%s', async (_what, args, sentence) => {
    writeFileSync(body, Buffer.from([0x7b, 0xff, 0x7d]));
    const command = sendCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await expect(command.parseAsync(args, { from: 'user' })).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(sentence),
    });
  });
});

describe('the time that the sender waits for an answer', () => {
  it.each(['codat', 'codat-alerts'])('is 15 s for %s, or as was said', async (sender) => {
    const own = { sender, configFolder: 'config', certificate: false, signature: false };
    const typed = { ...own, method: 'POST', count: '1', event: 'rule.alert' };
    expect((await planSend(url, typed)).options.deadlineMs).toBe(15_000);
    expect((await planSend(url, { ...typed, timeout: '1m' })).options.deadlineMs).toBe(60_000);
  });
});

describe('a process', () => {
  it('ends with exit code 2, the sentence on stderr, after wrong use', async () => {
    const result = await runCommand(['send', url, ...asAlerts, '--count', '0']);
    const stderr = '--count 0: give a whole number from 1 to 9999999\n';
    expect(result).toEqual({ exitCode: 2, stdout: '', stderr });
  });

  it("ends with exit code 78 where a sender profile of the user's own has a mistake", async () => {
    mkdirSync(join(folder, 'senders'));
    writeFileSync(join(folder, 'senders', 'mine.yaml'), 'title: Mine\nmethdos: [POST]\n');
    const { exitCode, stderr } = await runCommand([
      'send',
      url,
      '--sender',
      'mine',
      '--config-folder',
      folder,
    ]);
    expect(exitCode).toBe(78);
    expect(stderr).toContain('mine.yaml:2:1 methdos');
  });

  it('shows examples with --help', async () => {
    const { exitCode, stdout } = await runCommand(['send', '--help']);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('Examples:\n  export POSTERN_SEND_SECRET');
  });
});
