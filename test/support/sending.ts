import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Webhook } from 'svix';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { makeCertificates } from '../../src/cli/certs-set.ts';
import { type Receiver, type ReceiverOptions, startReceiver } from './receiver.ts';

export const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
export const BASIC = 'Authorization: Basic Y29kYXQ6cGFzc3dvcmQ=';
export const signing = { POSTERN_SEND_SECRET: SECRET };

/** Certificates for a file's tests of `postern send`, options that use them, and receivers that close by themselves. */
export function prepareSending() {
  const folder = mkdtempSync(join(tmpdir(), 'postern-send-test-'));
  const certs = join(folder, 'certs');
  const file = (name: string) => join(certs, name);
  const ca = ['--ca', file('ca.pem')];
  const open: Receiver[] = [];

  beforeAll(async () => {
    await makeCertificates({ folder: certs, hosts: [], clientName: 'codat-client.example', days: 2 });
  });
  afterEach(async () => {
    for (const receiver of open.splice(0)) await receiver.close();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  return {
    folder,
    file,
    ca,
    asCodat: [...ca, '--bundle', file('client-bundle.pem')],
    asAlerts: [...ca, '--sender', 'codat-alerts', '--header', BASIC],
    async receive(options: Partial<ReceiverOptions>): Promise<Receiver> {
      const receiver = await startReceiver({
        key: readFileSync(file('server.key')),
        cert: readFileSync(file('server.pem')),
        ca: readFileSync(file('ca.pem')),
        clientCertificate: 'optional',
        answer: () => ({ status: 200 }),
        ...options,
      });
      open.push(receiver);
      return receiver;
    },
  };
}

/** The message of a request, if its signature holds. */
export function verify(receiver: Receiver, turn: number, family: 'webhook' | 'svix'): unknown {
  const request = receiver.received[turn];
  const field = (name: string) => [`${family}-${name}`, String(request?.headers[`${family}-${name}`])];
  const signed = Object.fromEntries(['id', 'timestamp', 'signature'].map(field));
  new Webhook(SECRET).verify(String(request?.body), signed);
  return JSON.parse(String(request?.body));
}
