import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const FASTIFY = join(import.meta.dirname, 'peers/fastify');
/** Where Debian, Alpine and Fedora put nginx's module for njs. */
const NJS = ['/usr/lib/nginx/modules', '/usr/lib64/nginx/modules', '/usr/share/nginx/modules'].map(
  (folder) => `${folder}/ngx_http_js_module.so`,
);

/** In the order of the tables: the one that all are compared with first, ours last. */
export const PEER_NAMES = ['haproxy', 'nginx', 'caddy', 'fastify', 'postern'] as const;

export type PeerName = (typeof PEER_NAMES)[number];

/** What the configuration templates are filled with: each `${NAME}` by the value of that name. */
export type Fillings = Readonly<Record<string, string>>;

/** How one gateway is found, configured and started. */
export interface PeerKind {
  readonly title: string;
  /** What brings it to this machine. */
  readonly install: string;
  readonly isInstalled: () => boolean;
  readonly version: () => string;
  /** Whether it checks signature and rate, and so does the full job. */
  readonly signs: boolean;
  /** Whether it remembers the events it delivered. */
  readonly claims: boolean;
  /** What a sender without a certificate meets: the code of an alert, or `status` and a number. */
  readonly withoutCertificate: RegExp;
  /** Files of `peers/` that are filled and written into its folder. */
  readonly files: readonly string[];
  /** What the files need beyond what all get. */
  readonly fillings?: () => Fillings;
  /** The command, run in its folder. */
  readonly command: (folder: string, fillings: Fillings) => readonly string[];
  readonly environment?: (folder: string, fillings: Fillings) => Fillings;
}

/** In TLS 1.3 the client's handshake is over before the server has missed the certificate: the alert comes after it. */
const ALERT = /ALERT.*CERTIFICATE/;

export const PEERS: Readonly<Record<PeerName, PeerKind>> = {
  haproxy: {
    title: 'HAProxy',
    install: 'apt-get install haproxy',
    isInstalled: () => hasProgram('haproxy'),
    version: () => versionOf('haproxy', '-v'),
    signs: true,
    claims: false,
    withoutCertificate: ALERT,
    files: ['haproxy.cfg'],
    command: (folder) => ['haproxy', '-db', '-f', join(folder, 'haproxy.cfg')],
  },
  nginx: {
    title: 'nginx + njs',
    install: 'apt-get install nginx libnginx-mod-http-js',
    isInstalled: () => hasProgram('nginx') && NJS.some(existsSync),
    version: () => versionOf('nginx', '-v'),
    signs: true,
    claims: false,
    // It ends the handshake without a certificate and refuses the first request.
    withoutCertificate: /^status 400$/,
    files: ['nginx.conf', 'nginx-check.js'],
    fillings: () => ({ NJS: NJS.find(existsSync) ?? '' }),
    command: (folder) => ['nginx', '-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')],
    environment: (_folder, { SECRET = '', BEARER = '' }) => ({ SECRET, BEARER }),
  },
  caddy: {
    title: 'Caddy',
    install: 'apt-get install caddy',
    isInstalled: () => hasProgram('caddy'),
    version: () => versionOf('caddy', 'version'),
    signs: false,
    claims: false,
    withoutCertificate: ALERT,
    files: ['Caddyfile'],
    command: (folder) => ['caddy', 'run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'],
    environment: (folder) => ({ HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder }),
  },
  fastify: {
    title: 'fastify + svix',
    install: 'npm ci --prefix test/bench/peers/fastify',
    isInstalled: () => existsSync(join(FASTIFY, 'node_modules/fastify/package.json')),
    version: () =>
      versionOf(process.execPath, '-p', `require('${FASTIFY}/node_modules/fastify/package.json').version`),
    signs: true,
    claims: false,
    withoutCertificate: ALERT,
    files: [],
    command: () => [process.execPath, join(FASTIFY, 'gateway.js')],
    environment: (_folder, { CERTS = '', PORT = '', UPSTREAM = '', SECRET = '', BEARER = '' }) => ({
      CERTS,
      PORT,
      UPSTREAM,
      SECRET,
      BEARER,
      NODE_ENV: 'production',
    }),
  },
  postern: {
    title: 'Postern',
    install: 'npm ci',
    isInstalled: () => true,
    version: () => versionOf(process.execPath, MAIN, '--version'),
    signs: true,
    claims: true,
    withoutCertificate: ALERT,
    files: ['postern.yaml'],
    command: (folder) => [process.execPath, MAIN, 'start', '--config', join(folder, 'postern.yaml')],
  },
};

/** Says whether a program is installed. */
export function hasProgram(program: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The first thing that looks like a version in what a program says of itself, on either output. */
function versionOf(program: string, ...options: readonly string[]): string {
  const said = execFileSync('sh', ['-c', '"$@" 2>&1', 'sh', program, ...options], { encoding: 'utf8' });
  return /\d+\.\d+(?:\.\d+)*/.exec(said)?.[0] ?? 'unknown';
}
