import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeCertificates } from './certificates.ts';
import { type Credentials, type EventShape, ORDINARY } from './event.ts';
import { type Fillings, PEERS, type PeerName } from './peers.ts';
import { findFreePort, GATEWAY_CORE, LOAD_CORE, type Service, startService } from './spawn.ts';
import { vet } from './vet.ts';

/** A gateway that is running and was seen to do its job. */
export interface Peer extends Service {
  readonly name: PeerName;
  readonly title: string;
}

export interface OpenOptions {
  /** Replaces what the template's placeholders get by default. */
  readonly fillings?: Fillings;
  /** For Postern: changes its file, given as text, before it starts. */
  readonly configure?: (yaml: string) => string;
  /** For Postern: writes what is in its folder before it starts. */
  readonly prepare?: (folder: string) => Promise<void>;
  /** For Postern: options of its runtime. */
  readonly nodeOptions?: readonly string[];
  /** The event that is tried before the timing. */
  readonly shape?: EventShape;
  /** Whether it is configured to say yes before the upstream does. */
  readonly isQueue?: boolean;
}

/** One run of the bench: its files, the upstream, and what must be stopped when it ends. */
export interface Ground {
  /** The folder of the run; the certificates are in it. */
  readonly folder: string;
  readonly credentials: Credentials;
  readonly upstream: Service;
  /** Starts a gateway and proves that it does the job; it is stopped when the run ends, or before by `stop`. */
  open(name: PeerName, options?: OpenOptions): Promise<Peer>;
  /** Stops everything and removes the folder. */
  close(): Promise<void>;
}

/** HAProxy's own default: what a request of ordinary size needs. */
const DEFAULTS: Fillings = { BUFSIZE: '16384' };

/** What is behind every gateway: nginx, or a service of Node alone, where nothing is compared. */
export type UpstreamKind = 'nginx' | 'node';

/** Makes the certificates and starts the service behind every gateway. */
export async function prepareGround(kind: UpstreamKind = 'nginx'): Promise<Ground> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'));
  writeCertificates(folder);
  const credentials = { secret: randomBytes(32).toString('base64'), bearer: randomBytes(16).toString('hex') };
  const upstream = await startUpstream(folder, kind);
  const started: Service[] = [upstream];

  async function open(name: PeerName, options: OpenOptions = {}): Promise<Peer> {
    const kind = PEERS[name];
    const own = mkdtempSync(join(folder, `${name}-`));
    const port = await findFreePort();
    const fillings: Fillings = {
      ...DEFAULTS,
      ...kind.fillings?.(),
      CERTS: folder,
      RUN: own,
      PORT: String(port),
      ADMIN: String(await findFreePort()),
      UPSTREAM: String(upstream.port),
      SECRET: credentials.secret,
      BEARER: credentials.bearer,
      ...options.fillings,
    };
    for (const file of kind.files) fill(file, own, fillings, options.configure);
    await options.prepare?.(own);
    const [program = '', ...rest] = kind.command(own, fillings);
    const service = await startService({
      name,
      folder: own,
      core: GATEWAY_CORE,
      port,
      command: [program, ...(options.nodeOptions ?? []), ...rest],
      ...(kind.environment && { environment: kind.environment(own, fillings) }),
    });
    started.push(service);
    const peer = { ...service, name, title: kind.title };
    const { shape = ORDINARY, isQueue = false } = options;
    await vet(peer, { certificates: folder, credentials, shape, isQueue });
    return peer;
  }

  async function close(): Promise<void> {
    for (const service of started.splice(0).reverse()) await service.stop();
    rmSync(folder, { recursive: true, force: true });
  }

  return { folder, credentials, upstream, open, close };
}

async function startUpstream(folder: string, kind: UpstreamKind): Promise<Service> {
  const own = join(folder, 'upstream');
  mkdirSync(own);
  const port = await findFreePort();
  const nginx = () => fill('upstream.conf', own, { RUN: own, UPSTREAM: String(port) });
  const command =
    kind === 'nginx'
      ? ['nginx', '-p', own, '-e', 'stderr', '-c', nginx()]
      : [process.execPath, join(import.meta.dirname, 'load/upstream.ts'), String(port)];
  return startService({ name: 'upstream', folder: own, core: LOAD_CORE, port, command });
}

function fill(
  template: string,
  folder: string,
  fillings: Fillings,
  configure: ((text: string) => string) | undefined = (text) => text,
): string {
  const text = readFileSync(join(import.meta.dirname, 'peers', template), 'utf8');
  const filled = text.replace(/\$\{([A-Z]+)\}/g, (mark, name: string) => fillings[name] ?? mark);
  const file = join(folder, template);
  writeFileSync(file, configure(filled), { mode: 0o600 });
  return file;
}
