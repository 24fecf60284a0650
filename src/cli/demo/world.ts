import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeCertificates } from '../certs-set.ts';
import type { Identity } from '../send/post.ts';
import { FAILING_PATH } from './service.ts';

/** The demo's own folder, with its certificates and configuration, and the secrets of this one run. */
export interface World {
  readonly folder: string;
  readonly configFile: string;
  readonly ca: Buffer;
  readonly caFile: string;
  /** The sender that the gateway trusts. */
  readonly sender: Identity;
  readonly bundleFile: string;
  /** A sender whose certificate another CA signed, under the same names. */
  readonly stranger: Identity;
  readonly signingSecret: string;
  readonly bearer: string;
  readonly alertPassword: string;
}

/** The variables that the demo's configuration refers to. */
export function secretsOf(world: World): Record<string, string> {
  return {
    DEMO_SIGNING_SECRET: world.signingSecret,
    DEMO_BEARER: world.bearer,
    DEMO_ALERT_PASSWORD: world.alertPassword,
  };
}

/** A new, empty folder in the system's temporary folder. */
export function makeFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'postern-demo-'));
}

/** Fills `folder` with certificates and the configuration; upstreams are origins. */
export async function makeWorld(
  folder: string,
  upstreams: { service: string; down: string },
): Promise<World> {
  const certs = join(folder, 'certs');
  const strangerCerts = join(folder, 'stranger');
  const configFile = join(folder, 'postern.yaml');
  const request = { hosts: [], clientName: 'codat-client.example', days: 2 };
  await Promise.all([
    makeCertificates({ ...request, folder: certs }),
    makeCertificates({ ...request, folder: strangerCerts }),
    mkdir(join(folder, 'data')),
    writeFile(configFile, configuration(upstreams)),
  ]);
  return {
    folder,
    configFile,
    ca: await readFile(join(certs, 'ca.pem')),
    caFile: join(certs, 'ca.pem'),
    sender: await readIdentity(certs),
    bundleFile: join(certs, 'client-bundle.pem'),
    stranger: await readIdentity(strangerCerts),
    signingSecret: `whsec_${randomBytes(32).toString('base64')}`,
    bearer: randomBytes(24).toString('hex'),
    alertPassword: randomBytes(24).toString('hex'),
  };
}

async function readIdentity(certs: string): Promise<Identity> {
  return {
    key: await readFile(join(certs, 'client.key')),
    certificate: await readFile(join(certs, 'client.pem')),
  };
}

function configuration({ service, down }: { service: string; down: string }): string {
  const events = `sender: codat
    addresses: [127.0.0.1]
    authorization:
      - bearer: \${DEMO_BEARER}
    signature: { secrets: ["\${DEMO_SIGNING_SECRET}"] }`;
  const alerts = `sender: codat-alerts
    addresses: [127.0.0.1]
    certificate: none
    authorization:
      - basic: { username: codat, password: "\${DEMO_ALERT_PASSWORD}" }
      - bearer: \${DEMO_BEARER}`;
  return `listen: { address: 127.0.0.1, port: 0 }
admin: { address: 127.0.0.1, port: 0 }
tls:
  certificate: certs/server.pem
  private_key: certs/server.key
  client_ca: certs/ca.pem
  client_certificate: optional   # the alerts come without one; the events' routes insist
state: { driver: sqlite, path: data/postern.db }
upstreams:
  service: ${service}
  down: ${down}
routes:
  - name: events
    path: /codat/events
    ${events}
    body_limit: 16KiB
    upstream: service
    upstream_path: /events
  - name: alerts
    path: /codat/alerts
    ${alerts}
    upstream: service
    upstream_path: /alerts
  - name: events-one-a-minute
    path: /codat/limited
    ${events}
    rate_limit: { rate: 1/m, by: route }
    upstream: service
    upstream_path: /events
  - name: events-from-elsewhere
    path: /codat/elsewhere
    ${events.replace('[127.0.0.1]', '[192.0.2.1]')}
    upstream: service
    upstream_path: /events
  - name: events-service-fails
    path: /codat/events-failing
    ${events}
    upstream: service
    upstream_path: ${FAILING_PATH}/events
  - name: alerts-service-fails
    path: /codat/alerts-failing
    ${alerts}
    upstream: service
    upstream_path: ${FAILING_PATH}/alerts
  - name: events-service-down
    path: /codat/events-down
    ${events}
    upstream: down
`;
}
