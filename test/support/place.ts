import { cpSync, mkdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { defaults } from './ca.ts';
import type { StartOptions } from './gateway.ts';
import { type Image, lastOf } from './image.ts';
import { valuesOf } from './unit.ts';

/** The program where it is to run: its flags as they stand in the Dockerfile or the unit, its folders below another. */
export interface Place {
  /** What stands behind `node`. */
  readonly words: readonly string[];
  readonly config: string;
  readonly certs: string;
  readonly secrets: string;
  readonly data: string;
}

export function placeOfImage({ words, here }: Image): Place {
  return {
    words: [...words(lastOf('ENTRYPOINT')), ...words(lastOf('CMD'))],
    config: here('/postern/config'),
    certs: here('/postern/certs'),
    secrets: here('/postern/secrets'),
    data: here('/postern/data'),
  };
}

/** Below `top`: what `npm install` in /opt/postern leaves, and the folders that systemd makes. */
export function placeOfUnit({ here }: Image, top: string): Place {
  const [program, built] = [join(top, 'opt/postern'), here('/opt/postern')];
  cpSync(join(built, 'node_modules'), join(program, 'node_modules'), { recursive: true });
  for (const part of ['dist', 'config', 'package.json'])
    cpSync(join(built, part), join(program, 'node_modules/postern', part), { recursive: true });
  const [config, certs, secrets, data] = [
    'etc/postern/config',
    'etc/postern/certs',
    'run/credentials/postern.service',
    'var/lib/postern',
  ].map((folder) => join(top, folder)) as [string, string, string, string];
  for (const folder of [config, certs, secrets, data]) mkdirSync(folder, { recursive: true });
  const [start = ''] = valuesOf('ExecStart');
  const words = start
    .replaceAll('%n', 'postern.service')
    .replaceAll(/(?<==| )\/(?=opt\/|etc\/|run\/|var\/)/g, `${top}/`)
    .split(' ');
  return { words: words.slice(1), config, certs, secrets, data };
}

/** How a gateway is started in a place, with its certificates, and its token in a file among the secrets. */
export async function optionsOf(
  place: Place,
  token: string,
  more: Partial<StartOptions> = {},
): Promise<StartOptions> {
  const { authority, server } = await defaults();
  const at = (folder: string, name: string): string => relative(place.config, join(folder, name));
  return {
    folder: place.config,
    files: {
      [at(place.certs, 'server.pem')]: server.certificate,
      [at(place.certs, 'server.key')]: server.key,
      [at(place.certs, 'ca.pem')]: authority.certificate,
      [at(place.secrets, 'token')]: token,
    },
    command: () => place.words,
    ...more,
    // Node's own roots, and one more.
    env: { NODE_EXTRA_CA_CERTS: join(place.certs, 'ca.pem'), ...more.env },
  };
}

/** A configuration that uses every kind of file and of upstream: plain, over TLS and by a socket, in this order. */
export function configOf(
  { config, certs, secrets, data }: Place,
  urls: readonly string[],
  secret: string,
): Record<string, unknown> {
  const at = (folder: string, name: string): string => relative(config, join(folder, name));
  const [plain = '', tls = '', socket = ''] = urls;
  const signature = { secrets: [secret] };
  const authorization = [{ bearer: `\${file:${at(secrets, 'token')}}` }];
  const route = (name: string, more: object = {}) => {
    return { name, path: `/${name}`, addresses: 'any', upstream: name, authorization, ...more };
  };
  return {
    tls: {
      certificate: at(certs, 'server.pem'),
      private_key: at(certs, 'server.key'),
      client_ca: at(certs, 'ca.pem'),
    },
    state: { driver: 'sqlite', path: at(data, 'postern.db') },
    upstreams: {
      address: plain,
      name: plain.replace('127.0.0.1', 'localhost'),
      tls: tls.replace('127.0.0.1', 'localhost'),
      socket: socket,
    },
    routes: [
      route('address', { sender: 'standard-webhooks', signature, attest: { key: secret } }),
      ...['name', 'tls', 'socket'].map((name) => route(name)),
    ],
  };
}
