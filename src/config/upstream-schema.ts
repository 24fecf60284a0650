import { list, section } from './issues.ts';
import { fields, readUpstreamField } from './names.ts';
import { readHealthPath } from './paths.ts';
import { target } from './targets.ts';
import { duration, integer, pemFile, scalar } from './values.ts';

const upstreamTls = section(
  {
    ca: pemFile()
      .optional()
      .describe("The PEM file of the authorities that vouch for the upstream; default: Node's own."),
    certificate: pemFile()
      .optional()
      .describe('The PEM file of the certificate shown to the upstream; it may hold the key too.'),
    private_key: pemFile().optional().describe('The PEM file of the private key of that certificate.'),
  },
  'a mapping with ca, certificate and private_key',
);

export const ejectSchema = section(
  {
    failures: integer('a number of failures', 1, 1_000_000)
      .prefault(3)
      .describe('How many connections in a row must fail before a target gets no more requests.'),
    duration: duration()
      .prefault('10s')
      .describe('After which time one request tries it again; with no other target left, all do at once.'),
  },
  'a mapping with failures and duration',
);

const health = section(
  {
    path: scalar<string>({
      expected: 'a path such as /healthz',
      pattern: '/.*',
      read: readHealthPath,
    }).describe('The path of a GET that a healthy target answers with a 2xx.'),
    interval: duration().prefault('10s').describe('The pause between two checks.'),
    timeout: duration().prefault('2s').describe('How long one may take, its connection included.'),
  },
  'a mapping with path, interval and timeout',
);

export const upstreamSchema = section(
  {
    targets: list(target(), 'a list of targets such as [http://127.0.0.1:9000]').describe(
      'Where it listens: http://host:port, https://host:port or http+unix:/path; several share the load.',
    ),
    timeout: duration()
      .optional()
      .describe(
        "How long it may take to answer; default: the sender's deadline less 2s, or 30s without one.",
      ),
    connect_timeout: duration().prefault('2s').describe('How long a connection to it may take to open.'),
    late: duration({ zero: true })
      .prefault('30s')
      .describe(
        "How long an exchange may run on after the sender got its 504, or with the route's late: queue its 202.",
      ),
    connections: integer('a number of connections', 1, 100_000)
      .prefault(64)
      .describe('How many connections may be open to each target.'),
    concurrency: integer('a number of requests', 1, 10_000_000)
      .optional()
      .describe(
        'How many requests may be under way at all targets together; default: connections x targets.',
      ),
    waiting: integer('a number of requests', 0, 1_000_000)
      .prefault(1000)
      .describe('How many more may wait for a connection; beyond it the answer is 503.'),
    wait: duration()
      .prefault('5s')
      .describe('How long one may wait for a connection before the answer is 503.'),
    eject: ejectSchema.optional().describe('When a target that cannot be connected to is left alone.'),
    health: health
      .optional()
      .describe('How targets are asked whether they are healthy; left out: not at all.'),
    tls: upstreamTls.optional().describe('How the gateway and an https target know each other.'),
    headers: fields(readUpstreamField, true).optional().describe('Headers set in every request to it.'),
  },
  'a target such as http://127.0.0.1:9000, or a mapping with targets',
);

/** An upstream written as its one target. */
export const upstreamText = target('a target such as http://127.0.0.1:9000, or a mapping with targets');
