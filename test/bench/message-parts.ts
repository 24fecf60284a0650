import { createHmac, generateKeyPairSync } from 'node:crypto';
import { signatureCheck } from '../../src/check/signature.ts';
import { declaredSigner } from '../../src/cli/send/declared.ts';
import { makeSigner } from '../../src/cli/send/sign.ts';
import { loadSender } from '../../src/config/senders.ts';
import { messageFilter } from '../../src/filter.ts';
import { openRunner } from '../../src/transform/runner.ts';
import { keysOf, messageOf, ruleOf } from '../support/schemes.ts';
import { cost, costOfWaited, costs, report } from './cost.ts';

/** What is done with a message's bytes after its head: its signature by every scheme, its filter, its script. */
export async function messageParts(): Promise<void> {
  schemes();
  const { text } = eventOf(1024);
  const profile = loadSender('codat', 'config');
  const filter = messageFilter({ events: ['read.completed'], tags: ['region:us'] }, profile);
  const body = Buffer.from(text);
  report(
    'filter a message by type and tag, 1 KiB',
    cost(100_000, () => void filter(body)),
  );
  for (const bytes of [1024, 64 * 1024]) await script(bytes);
}

function eventOf(bytes: number): { text: string; atMs: number } {
  const atMs = Date.now();
  const event = {
    id: 'a1f7c1fe-9d6c-4b7a-bb0b-2f6f3f1b4a10',
    eventType: 'read.completed',
    webhookTimestamp: atMs,
    payload: { referenceCompany: { id: '8a210b68', tags: { region: 'us' } }, rest: '' },
  };
  event.payload.rest = 'x'.repeat(Math.max(0, bytes - JSON.stringify(event).length));
  return { text: JSON.stringify(event), atMs };
}

/** The senders of which one key suffices to be signed for; those by public key are told beside them. */
const HMAC_SENDERS = ['github', 'stripe', 'shopify', 'slack', 'pagerduty', 'linear', 'adyen'];

function schemes(): void {
  const { text, atMs } = eventOf(1024);
  const id = 'msg_1';
  const at = new Date(atMs);
  const verify: Record<string, () => void> = {};
  const add = (name: string, secret: string, fields: Readonly<Record<string, string>>, body = text) => {
    const rule = ruleOf(name);
    const { examine } = signatureCheck({ ...rule, keys: keysOf(rule, [secret]) });
    const message = messageOf({ headers: Object.entries(fields), body }, atMs);
    const verdict = examine(message);
    if (verdict instanceof Promise || verdict.reason !== undefined)
      throw new Error(`${name}: ${JSON.stringify(verdict)}`);
    verify[name] = () => void examine(message);
  };
  const shared = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
  add('standard-webhooks', shared, {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(atMs / 1000)),
    'webhook-signature': makeSigner(shared)(id, at, Buffer.from(text)),
  });
  const hex = Buffer.alloc(32, 7).toString('hex');
  const url = new URL('https://a.example/');
  const signed = (name: string, key: string) => {
    const profile = loadSender(name, 'config');
    const rule = profile.signature;
    if (rule === undefined || rule.scheme === 'standard-webhooks') throw new Error(`${name} is not declared`);
    return declaredSigner(profile, rule, key)({ url, method: 'POST', id, at, body: Buffer.from(text) });
  };
  for (const name of HMAC_SENDERS) add(name, hex, signed(name, hex));
  const form = 'AccountSid=AC1&Body=Hello&From=%2B14158675309&MessageSid=SM1&To=%2B18005551212';
  const sorted = 'https://a.example/AccountSidAC1BodyHelloFrom+14158675309MessageSidSM1To+18005551212';
  add(
    'twilio',
    hex,
    {
      'content-type': 'application/x-www-form-urlencoded',
      'x-twilio-signature': createHmac('sha1', hex).update(sorted).digest('base64'),
    },
    form,
  );
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  for (const name of ['wise', 'fireblocks']) add(name, pair.publicKey, signed(name, pair.privateKey));
  const taken = costs(20_000, verify);
  const standard = taken.get('standard-webhooks') as number;
  for (const [name, nanoseconds] of taken)
    report(
      `verify a signature of ${name}, 1 KiB`,
      nanoseconds,
      `  ${(nanoseconds / standard).toFixed(2)} times standard-webhooks`,
    );
}

/** In its thread, with a context of its own for every message; what waits for it is part of the cost. */
async function script(bytes: number): Promise<void> {
  const runner = openRunner((error) => {
    throw error;
  });
  const source = `function handler(webhook) {
    if (webhook.payload.payload.referenceCompany.tags.region !== 'us') webhook.cancel = true;
    webhook.payload.payload.ledger = 'us-1';
    return webhook;
  }`;
  const job = {
    script: { name: 'bench', source, timeoutMs: 1000, memoryBytes: 16 * 1024 * 1024 },
    method: 'POST',
    url: '/ledger',
    body: Buffer.from(eventOf(bytes).text),
    receivedMs: Date.now(),
  };
  const made = await runner.run('bench', job);
  if (made.kind !== 'webhook') throw new Error(JSON.stringify(made));
  report(`transform a message, ${bytes / 1024} KiB`, await costOfWaited(500, () => runner.run('bench', job)));
  await runner.close();
}
