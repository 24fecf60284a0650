import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isSecret, type Secret, secretOf } from '../compare.ts';
import type { AdminSettings } from '../settings.ts';

/** Probes and scrapers need few; more would take the file descriptors that senders and upstreams live on. */
export const MOST_ADMIN_CONNECTIONS = 16;

/** What the admin listener tells. */
export interface AdminFacts {
  /** Why no traffic should be sent here; `undefined`: ready. */
  readonly notReady: () => string | undefined;
  /** What is amiss with a gateway that is ready all the same; `undefined`: nothing. */
  readonly amiss: () => string | undefined;
  readonly metrics: () => Promise<{ body: string; type: string }>;
  /** The running configuration in YAML, without its secrets. */
  readonly config: () => string;
  /** What each route and secret has met so far, as JSON. */
  readonly usage: () => string;
}

export interface AdminServer {
  readonly address: string;
  readonly port: number;
  close(): void;
}

/**
 * Serves `/healthz` (the process lives), `/readyz` (send traffic here), `/metrics`, `/config` and `/usage`, on a
 * listener of its own so that no sender can reach it. The token, where there is one, guards everything but the two probes.
 * @throws Error where the address cannot be bound
 */
export async function openAdmin(
  { address, port, token }: AdminSettings,
  facts: AdminFacts,
): Promise<AdminServer> {
  const secret = token === undefined ? undefined : secretOf(`Bearer ${token}`);
  const server = createServer((request, response) => {
    serve(request, response, secret, facts).catch(() => response.destroy());
  });
  server.maxConnections = MOST_ADMIN_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port }, resolve);
  });
  return {
    address,
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  secret: Secret | undefined,
  facts: AdminFacts,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0];
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return answer(response, 405, 'GET only\n', { allow: 'GET, HEAD' });
  if (path === '/healthz') return answer(response, 200, 'ok\n');
  if (path === '/readyz') {
    const reason = facts.notReady();
    return answer(response, reason === undefined ? 200 : 503, `${reason ?? facts.amiss() ?? 'ok'}\n`);
  }
  const presented = Buffer.from(request.headers.authorization ?? '', 'latin1');
  if (secret !== undefined && !isSecret(secret, presented)) {
    return answer(response, 401, 'token required\n', { 'www-authenticate': 'Bearer' });
  }
  // RFC 9512.
  if (path === '/config')
    return answer(response, 200, facts.config(), { 'content-type': 'application/yaml' });
  if (path === '/usage') return answer(response, 200, facts.usage(), { 'content-type': 'application/json' });
  if (path !== '/metrics') return answer(response, 404, 'not found\n');
  const { body, type } = await facts.metrics();
  return answer(response, 200, body, { 'content-type': type });
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}
