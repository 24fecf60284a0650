import { type Gateway, startGateway } from '../support/gateway.ts';
import { type Recorder, startRecorder } from './recorder.ts';

/** One gateway, and the upstream that records every byte it gets. */
export interface World {
  readonly gateway: Gateway;
  readonly recorder: Recorder;
}

/** What a request must carry where a route asks for it. */
export const TOKEN = 'open-sesame-2026';
export const BASIC = { username: 'codat', password: 'open:sesame' } as const;
export const KEY = 'key-of-the-house';
export const SECRET = 'whsec_ZG9vci10ZXN0cy1zaWduaW5nLXNlY3JldC1vZi00MC1ieXRlcyE=';
export const INTERNAL = 'x-internal-key';
export const BODY_LIMIT = 64 * 1024;
export const SMALL_LIMIT = 8;

/** A route as the configuration says it, less what all have. */
export interface RouteEntry {
  readonly name: string;
  readonly path: string;
  readonly host?: string;
  readonly headers?: { readonly 'x-tenant': string };
  readonly methods?: readonly string[];
  readonly sender?: string;
  readonly certificate?: { readonly names: readonly string[] };
  readonly authorization?: readonly [object];
  readonly signature?: { readonly secrets: readonly string[] };
  readonly rate_limit?: { readonly rate: string; readonly burst: number; readonly by: string };
  readonly body_limit?: string;
  readonly upstream?: string;
  readonly upstream_path?: string;
  readonly pass_credentials?: boolean;
  readonly client_certificate_header?: boolean;
}

const bearer = [{ bearer: TOKEN }] as const;
const nobody = { certificate: { names: ['CN:nobody'] } };
const signature = { secrets: [SECRET] };

/**
 * Every kind of check beside a route that lets in anyone with a certificate: what slips past a strict route shows on
 * the lax one.
 */
export const ROUTES: readonly RouteEntry[] = [
  { name: 'all', path: '/*' },
  { name: 'refused', path: '/refused', ...nobody },
  { name: 'small', path: '/small', body_limit: `${SMALL_LIMIT}B` },
  { name: 'token', path: '/token', authorization: bearer },
  { name: 'vault', path: '/vault/*', authorization: bearer },
  { name: 'basic', path: '/basic', authorization: [{ basic: BASIC }] },
  { name: 'key', path: '/key', authorization: [{ header: { name: 'x-api-key', value: KEY } }] },
  { name: 'pass', path: '/pass', authorization: bearer, pass_credentials: true },
  { name: 'strict', path: '/strict/path', ...nobody },
  { name: 'lax', path: '/strict/*' },
  { name: 'closed-host', path: '/*', host: 'closed.example.com', ...nobody },
  { name: 'open-host', path: '/hosted', host: 'open.example.com' },
  { name: 'post', path: '/post', methods: ['POST'] },
  { name: 'tenant-a', path: '/tenant', headers: { 'x-tenant': 'a' }, ...nobody },
  { name: 'tenant-b', path: '/tenant', headers: { 'x-tenant': 'b' } },
  { name: 'mapped', path: '/mapped/*', upstream_path: '/internal/' },
  { name: 'fixed', path: '/fixed', upstream_path: '/webhooks/in' },
  { name: 'keyed', path: '/keyed', upstream: 'keyed' },
  { name: 'certified', path: '/certified', client_certificate_header: true },
  { name: 'signed', path: '/signed', sender: 'codat', signature },
  { name: 'svix', path: '/svix', sender: 'svix', signature },
  { name: 'both', path: '/both', sender: 'codat', authorization: bearer, signature },
  { name: 'rated', path: '/rated', rate_limit: { rate: '1/h', burst: 1, by: 'address' } },
];

/** Starts both. @param connections how many the gateway may open to the upstream: with one, all senders share it */
export async function startWorld(connections: number): Promise<World> {
  const recorder = await startRecorder();
  const targets = [recorder.url];
  const gateway = await startGateway({
    limits: { body: `${BODY_LIMIT}B`, connections: 1000 },
    upstreams: {
      app: { targets, connections },
      keyed: { targets, connections, headers: { [INTERNAL]: 'ours' } },
    },
    routes: ROUTES.map((route) => ({ addresses: 'any', upstream: 'app', ...route })),
  });
  return { gateway, recorder };
}
