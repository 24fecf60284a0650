import type { Gateway } from './gateway.ts';
import { newSecret } from './secrets.ts';
import { type Answer, post } from './sender.ts';
import { headerOf, startUpstream, type Upstream } from './upstream.ts';

/** Where processes can share a port. */
export const SHARES = ['aix', 'freebsd', 'linux', 'sunos'].includes(process.platform);

const secret = newSecret();

/** An upstream whose answer says, as `x-process`, which process it was that delivered. */
export function startNamingUpstream(): Promise<Upstream> {
  return startUpstream({
    answer: (request, response) =>
      response.writeHead(200, { 'x-process': headerOf(request, 'x-process') }).end(),
  });
}

/** The configuration of processes that share a port: one file, told apart by their environment (`named`). */
export function sharingConfig(
  upstream: Upstream,
  listen: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    listen: { address: '127.0.0.1', reuse_port: true, ...listen },
    admin: { port: `\${ADMIN_PORT}` },
    // A path below each process's own folder: nothing is shared unless a test has them start in one.
    state: { driver: 'sqlite', path: 'state.db' },
    upstreams: { app: { targets: [upstream.url], headers: { 'x-process': `\${NAME}` } } },
    routes: [
      { name: 'plain', path: '/plain', addresses: 'any', upstream: 'app' },
      { name: 'one', path: '/one', addresses: 'any', upstream: 'app', rate_limit: { rate: '1/1h' } },
      {
        name: 'signed',
        path: '/signed',
        addresses: 'any',
        upstream: 'app',
        signature: { scheme: 'standard-webhooks', secrets: [secret] },
      },
    ],
    ...more,
  };
}

/** The environment of one process: its name, and its admin port (0: any). */
export function named(name: string, adminPort = 0): Record<string, string> {
  return { NAME: name, ADMIN_PORT: String(adminPort) };
}

/** Sends a signed event to whichever process takes the connection. */
export function sendEvent(gateway: Gateway, id: string): Promise<Answer> {
  return post(gateway, { path: '/signed', body: '{"eventType":"a"}', sign: { secret, id } });
}

/** The process that delivered; `undefined`: none did. */
export function processOf(answer: Answer): string | undefined {
  return answer.header('x-process');
}
