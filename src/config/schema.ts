import { isIP } from 'node:net';
import { z } from 'zod';
import { networkEntry } from './addresses.ts';
import { defaultsSchema, writtenRouteSchema } from './defaults.ts';
import { either, list, section } from './issues.ts';
import { readHostName } from './names.ts';
import type { routeSchema } from './route-schema.ts';
import { stateSchema } from './state.ts';
import { upstreamSchema, upstreamText } from './upstream-schema.ts';
import { duration, fieldValue, flag, integer, pemFile, scalar, size, text, word } from './values.ts';

const listenAddress = (expected = 'an IP address to listen on, such as 0.0.0.0') =>
  scalar<string>({
    expected,
    read: (value) => (isIP(value) !== 0 && !value.includes('%') ? value : readHostName(value)),
  });

const port = () => integer('a port', 0, 65_535);

export const listenSchema = section(
  {
    address: listenAddress().prefault('0.0.0.0').describe('The address the gateway listens on.'),
    port: port().prefault(8443).describe('The port the gateway listens on; 0 takes any free one.'),
    reuse_port: flag()
      .prefault(false)
      .describe('Whether several processes share the port; each needs an admin port of its own.'),
    proxy_protocol: flag()
      .prefault(false)
      .describe(
        'Whether every connection begins with a PROXY header (v1 or v2) of a trusted proxy; all others are closed.',
      ),
    trusted_proxies: z
      .array(networkEntry(), {
        error: 'a list of addresses and networks such as [10.0.0.0/8]',
      })
      .prefault([])
      .describe(
        "The addresses and networks of load balancers whose word on the sender's address is believed.",
      ),
    forwarded_for: flag()
      .prefault(false)
      .describe(
        'Whether trusted proxies name the sender in X-Forwarded-For; only where they terminate TLS themselves.',
      ),
  },
  'a mapping with address, port and reuse_port',
);

export const adminSchema = section(
  {
    address: listenAddress()
      .prefault('127.0.0.1')
      .describe('The address of the admin listener: health and metrics.'),
    port: port().prefault(9901).describe('The port of the admin listener; 0 takes any free one.'),
    token: fieldValue('a token of visible characters', true)
      .optional()
      .describe('The bearer token that /metrics, /config and /usage ask for; required off loopback.'),
  },
  'false, or a mapping with address, port and token',
);

const certificateFile = () =>
  pemFile().describe('The PEM file of the certificate, its chain in order; it may hold the key too.');

const keyFile = () =>
  pemFile()
    .optional()
    .describe('The PEM file of the private key; left out where the certificate file holds it.');

const revocationFile = () =>
  pemFile()
    .optional()
    .describe(
      'The PEM file of the certificate revocation lists, one or many: each authority of a chain needs its own.',
    );

export const tlsHostSchema = section(
  {
    names: list(
      scalar<string>({ expected: 'a host name such as hooks.example.com', read: readHostName }),
      'a list of host names such as [hooks.example.com]',
    ).describe('The names (SNI) under which this certificate is shown; no wildcards.'),
    certificate: certificateFile(),
    private_key: keyFile(),
    client_ca: pemFile()
      .optional()
      .describe('The authorities that vouch for client certificates here; default: those of tls.client_ca.'),
    client_crl: revocationFile().describe(
      'Their revocation lists; default: tls.client_crl with its client_ca.',
    ),
    client_certificate: word(['required', 'optional'])
      .optional()
      .describe('Whether the handshake requires a client certificate here; default: as under tls.'),
  },
  'a mapping with names, certificate, private_key and client_ca',
);

export const tlsSchema = section(
  {
    certificate: certificateFile(),
    private_key: keyFile(),
    client_ca: pemFile().describe(
      'The PEM file of the authorities that vouch for client certificates, one or many.',
    ),
    client_crl: revocationFile(),
    client_crl_expired: word(['refuse', 'warn'])
      .prefault('refuse')
      .describe(
        'What a revocation list past its next update means: nobody of its authority comes in, or a warning.',
      ),
    client_certificate: word(['required', 'optional'])
      .prefault('required')
      .describe('Whether the handshake requires a client certificate, or leaves that to each route.'),
    min_version: word(['TLSv1.2', 'TLSv1.3'])
      .prefault('TLSv1.2')
      .describe('The oldest TLS version that is spoken.'),
    hosts: z
      .array(tlsHostSchema, {
        error: 'a list of mappings with names, certificate, private_key and client_ca',
      })
      .prefault([])
      .describe(
        'Further certificates, with client authorities of their own, chosen by the name asked for (SNI).',
      ),
  },
  'a mapping with certificate, private_key and client_ca',
);

export const limitsSchema = section(
  {
    body: size().prefault('1MiB').describe('The largest body of a request; a route may say otherwise.'),
    buffered_bodies: size()
      .prefault('256MiB')
      .describe('What all bodies held at one time may take; past it the answer is 503 with Retry-After.'),
    connections: integer('a number of connections', 1, 1_000_000)
      .prefault(10_000)
      .describe('How many connections may be open at one time; past it the least needed one gives way.'),
    connections_per_address: integer('a number of connections', 1, 1_000_000)
      .optional()
      .describe('How many of them may be of one address, or one IPv6 /64; default: no cap.'),
    event_loop_delay: duration()
      .prefault('500ms')
      .describe('How long the process may be behind; past it new requests get 503 with Retry-After.'),
    handshake_timeout: duration()
      .prefault('10s')
      .describe('How long a connection may take to finish its TLS handshake, a PROXY header included.'),
    header_timeout: duration().prefault('10s').describe("How long a request's head may take."),
    body_timeout: duration()
      .prefault('10s')
      .describe("How long the whole body may take, from the head's end; then 408."),
    idle_timeout: duration()
      .prefault('120s')
      .describe("How long an idle connection is kept; above the 90 s of senders' connection pools."),
    drain_delay: duration({ zero: true })
      .prefault('0s')
      .describe('At SIGTERM: how long readiness fails before new connections are refused.'),
    drain_timeout: duration().prefault('25s').describe('From SIGTERM to exit, at most.'),
  },
  'a mapping of limits',
);

export const logSchema = section(
  {
    level: word(['debug', 'info', 'warn', 'error', 'silent'])
      .prefault('info')
      .describe('The least that is logged.'),
    destination: text('stdout or the path of a file')
      .prefault('stdout')
      .describe('stdout, or the path of a file, which is opened again at SIGHUP.'),
  },
  'a mapping with level and destination',
);

export const adminFalse = scalarFalse();

function scalarFalse() {
  return z
    .unknown()
    .transform((input, context): false => {
      if (input === false || input === 'false') return false;
      const kind = typeof input === 'object' && input !== null;
      context.addIssue({
        code: 'custom',
        params: { expected: 'false, or a mapping with address, port and token', kind },
      });
      return z.NEVER;
    })
    .meta({ const: false });
}

/** Whether a value is written as the mapping that a section is, rather than as its short form. */
export const isMapping = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The whole file: the source of the JSON Schema and of the README's table. */
export const configurationSchema = section(
  {
    listen: listenSchema.optional().describe('Where senders connect.'),
    admin: either([adminFalse, adminSchema], 'false, or a mapping with address, port and token')
      .optional()
      .describe('The admin listener; false: none.'),
    tls: tlsSchema.describe('The certificate of the gateway, and whose client certificates it believes.'),
    limits: limitsSchema.optional().describe('What a sender may take up.'),
    state: stateSchema.optional().describe('What must be remembered between requests.'),
    log: logSchema.optional().describe('The log: one JSON line a request.'),
    upstreams: z
      .record(z.string(), either([upstreamText, upstreamSchema], 'a target or a mapping with targets'), {
        error: 'a mapping of names to upstreams, such as ledger: http://127.0.0.1:9000',
      })
      .describe('The internal services, by name.'),
    defaults: defaultsSchema
      .optional()
      .describe('Keys that every route takes that does not give them itself; each key whole.'),
    routes: list(writtenRouteSchema, 'a list of routes with name, path and upstream').describe(
      'Who may come in, what is checked, and where it goes.',
    ),
  },
  'a mapping with tls, upstreams and routes',
);

export type ConfigurationKey = keyof typeof configurationSchema.shape;
export type RouteInput = z.output<typeof routeSchema>;
export type UpstreamInput = z.output<typeof upstreamSchema>;
