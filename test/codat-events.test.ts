import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { expectDelivered } from './support/expect.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { newSecret } from './support/secrets.ts';
import { type Answer, connect, post } from './support/sender.ts';
import { headerOf, startUpstream, type Upstream } from './support/upstream.ts';

const FILE = fileURLToPath(new URL('../../shared/codat/event-examples.json', import.meta.url));
const here = existsSync(FILE);
const secret = newSecret();
let upstream: Upstream;
let gateway: Gateway;

/** By event type, then by title. */
type Examples = Record<string, Record<string, { eventType?: string; type?: string }>>;

beforeAll(async () => {
  upstream = await startUpstream();
  gateway = await startGateway({
    upstreams: { app: upstream.url },
    routes: [
      {
        name: 'codat',
        path: '/codat',
        addresses: 'any',
        sender: 'codat',
        signature: { secrets: [secret] },
        upstream: 'app',
      },
    ],
  });
});

test.skipIf(!here)(
  'every event that Codat shows goes through byte for byte, known by its type (skipped without ../shared/codat)',
  async () => {
    const examples = JSON.parse(readFileSync(FILE, 'utf8')) as Examples;
    const events = Object.entries(examples).flatMap(([name, byTitle]) =>
      Object.values(byTitle).map((event) => ({ name, event })),
    );
    expect(events.length).toBeGreaterThanOrEqual(50);
    const connection = await connect(gateway);
    const sent: { answer: Answer; body: string; name: string; type: string | undefined }[] = [];
    for (const [place, { name, event }] of events.entries()) {
      // Compact as Svix sends it, and indented, where a parser in between would show.
      const body = place % 2 === 0 ? JSON.stringify(event) : JSON.stringify(event, undefined, 2);
      const answer = await post(gateway, { path: '/codat', body, sign: { secret }, on: connection });
      sent.push({ answer, body, name, type: event.eventType ?? event.type });
    }
    for (const { answer, body, name, type } of sent) {
      const record = await expectDelivered(gateway, answer);
      expect([name, record.event_type, record.secret]).toEqual([name, type, 0]);
      const seen = await upstream.request((one) => headerOf(one, 'x-request-id') === record.id);
      expect(seen.body.equals(Buffer.from(body))).toBe(true);
    }
    expect(upstream.requests.length).toBe(events.length);
    connection.close();
  },
);
