import type { z } from 'zod';
import { METHODS, type RateKey } from '../settings.ts';
import { addressEntry } from './addresses.ts';
import { attestSchema } from './attest.ts';
import { certificateRule } from './certificate-rule.ts';
import { clientSchemas } from './client-schema.ts';
import { authorizationSchema } from './credentials.ts';
import { filterSchema } from './filter.ts';
import { either, list, section } from './issues.ts';
import { mode } from './modes.ts';
import { fields, NAME, readHostName, readSenderField } from './names.ts';
import { readPath, readUpstreamPath } from './paths.ts';
import { quarantineSchema } from './quarantine.ts';
import { queueShape } from './queue.ts';
import { signatureSchema } from './signature-schema.ts';
import { transformSchema } from './transform.ts';
import { duration, flag, integer, rate, scalar, size, word } from './values.ts';

const name = scalar<string>({
  expected: 'a name of letters, digits, ".", "_" and "-", such as codat-events',
  pattern: '[a-zA-Z0-9][a-zA-Z0-9._-]*',
  read: (value) => (NAME.test(value) ? value : undefined),
});

export const senderName = () =>
  scalar<string>({
    expected: 'the name of a sender profile, such as codat',
    pattern: '[a-z0-9-]+',
    read: (value) => (/^[a-z0-9-]+$/.test(value) ? value : undefined),
  });

const host = scalar<string>({
  expected: 'a host name such as hooks.example.com',
  read(value) {
    // An IPv6 literal is a Host too; the URL parser knows its canonical spelling.
    if (/^\[[\da-fA-F:.]+\]$/.test(value))
      return URL.canParse(`http://${value}/`) ? new URL(`http://${value}/`).hostname : undefined;
    if (/:\d*$/.test(value)) return { wrong: 'write it without a port' };
    return readHostName(value);
  },
});

export const method = () =>
  scalar<string>({
    expected: `one of ${METHODS.join(', ')}`,
    pattern: METHODS.join('|'),
    read(value) {
      if (METHODS.some((known) => known === value)) return value;
      const upper = METHODS.find((known) => known === value.toUpperCase());
      return upper === undefined ? undefined : { wrong: `methods are written in upper case: ${upper}` };
    },
  });

const rateKey = scalar<RateKey>({
  expected: 'route, address, certificate or header:NAME',
  pattern: 'route|address|certificate|header:.+',
  read(value) {
    if (value === 'route' || value === 'address' || value === 'certificate') return { by: value };
    if (!value.startsWith('header:')) return undefined;
    const field = readSenderField(value.slice('header:'.length));
    return typeof field === 'string' ? { by: 'header', name: field } : field;
  },
});

const rateLimit = section(
  {
    rate: rate().describe('How many requests pass in a span of time: 50/s, 600/m, 5/2s.'),
    burst: integer('a number of requests', 1, 1_000_000_000)
      .optional()
      .describe('How many pass at one instant; default: the N of N/duration.'),
    by: rateKey
      .prefault('route')
      .describe('What shares one count: route, address, certificate or header:NAME.'),
    wait: duration({ maxHours: 1 })
      .optional()
      .describe(
        "How long a request over the rate waits for its turn before it is refused, at most half of the sender's deadline; default: not at all.",
      ),
    waiting: integer('a number of requests', 1, 10_000)
      .optional()
      .describe('With wait, how many may wait at one time; default: 100.'),
    mode: mode(),
  },
  'a mapping with rate, burst and by, or a list of such',
);

const rateLimits = either(
  [rateLimit, list(rateLimit, 'a list of mappings with rate, burst and by')],
  'a mapping with rate, burst and by, or a list of such',
);

const upstreamName = scalar<string>({
  expected: 'the name of an upstream',
  read: (value) => value || undefined,
});

const upstreamPath = scalar<string>({
  expected: 'a path such as /webhooks/codat',
  read: readUpstreamPath,
});

const { clients, client } = clientSchemas({ upstream: upstreamName, upstreamPath, rateLimits });

export { client as clientSchema, clients as clientsSchema };

const ADDRESSES = 'any, or a list of addresses and networks such as [10.1.2.3, 10.0.0.0/8]';
const addressForms = [
  addressEntry(ADDRESSES),
  list(addressEntry(), 'a list such as [10.1.2.3, 10.0.0.0/8]'),
] as const;
const addresses = section(
  {
    list: either(addressForms, ADDRESSES).optional().describe("The addresses; default: the sender's."),
    mode: mode(),
  },
  ADDRESSES,
);

export const routeSchema = section(
  {
    name: name.describe('The name of the route, in the log and the metrics; no two alike.'),
    path: scalar<string>({ expected: 'a path such as /codat/events or /codat/*', read: readPath }).describe(
      'The exact path; or ending in /* that path and all below it.',
    ),
    host: host.optional().describe('The host the request must be for; default: any.'),
    headers: fields(readSenderField, false)
      .optional()
      .describe('Headers and their exact values that choose this route.'),
    methods: list(method(), 'a list of methods such as [POST]')
      .optional()
      .describe("The methods let in; default: the sender's, or any but CONNECT and TRACE without one."),
    sender: senderName()
      .optional()
      .describe('The sender profile: a file of config/senders without its .yaml.'),
    addresses: either([...addressForms, addresses], ADDRESSES)
      .optional()
      .describe("The addresses and networks let in; any opens; default: the sender's."),
    certificate: certificateRule
      .optional()
      .describe('The client certificate asked for; none opens; default: any that client_ca vouches for.'),
    authorization: authorizationSchema.optional().describe('The credentials, any one of which suffices.'),
    signature: signatureSchema.optional().describe('The signature that every request must carry.'),
    quarantine: quarantineSchema
      .optional()
      .describe(
        'Keeps messages from a trusted certificate whose signature does not hold, until an operator releases them.',
      ),
    clients: clients
      .optional()
      .describe('The clients of the sender, told apart by a header and by what each of them proves.'),
    rate_limit: rateLimits.optional().describe('How many requests are let in; one limit or a list.'),
    filter: filterSchema
      .optional()
      .describe('Which events are delivered; the others are acknowledged with 200 and go no further.'),
    transform: transformSchema
      .optional()
      .describe('A script that every message goes through before it is delivered: a path, or a mapping.'),
    body_limit: size().optional().describe('The largest body; default: limits.body.'),
    upstream: upstreamName.describe('The name of the upstream that it goes to.'),
    upstream_path: upstreamPath
      .optional()
      .describe(
        "The path at the upstream; default: the request's own. With a /* path it replaces what stands before the *.",
      ),
    remember: duration({ maxHours: 365 * 24 })
      .prefault('72h')
      .describe('How long a delivered event answers its duplicates.'),
    pass_credentials: flag()
      .prefault(false)
      .describe('Whether the upstream sees the credentials that the gateway checked.'),
    client_certificate_header: flag()
      .prefault(false)
      .describe(
        'Whether the upstream gets the client certificate in Client-Cert and Client-Cert-Chain (RFC 9440).',
      ),
    attest: attestSchema
      .optional()
      .describe(
        'Signs to the upstream what was checked, in X-Postern-Attestation, a JWS that is valid for 60 s.',
      ),
    webhook_delivery: word(['strip', 'pass'])
      .prefault('strip')
      .describe("Whether the upstream's webhook-delivery header reaches the sender."),
    unsafe_open: flag()
      .prefault(false)
      .describe('Says that a route without certificate, authorization and signature is meant.'),
    deliver: word(['forward', 'queue'])
      .prefault('forward')
      .describe(
        'forward: wait for the upstream and answer with its answer; queue: answer 202 once the event is on disk, deliver it later.',
      ),
    late: word(['timeout', 'queue'])
      .prefault('timeout')
      .describe(
        'With deliver: forward, what becomes of an event whose upstream has not answered when the deadline nears: timeout: 504; queue: it is stored, the answer is 202, and the exchange runs on as its first delivery.',
      ),
    ...queueShape,
    on_state_loss: word(['refuse', 'allow'])
      .prefault('refuse')
      .describe(
        'While Redis is away: refuse answers 503; allow goes by the memory of this process, so duplicates and rates are known to it alone.',
      ),
  },
  'a mapping with name, path and upstream',
);

export type RateLimitInput = z.output<typeof rateLimit>;
