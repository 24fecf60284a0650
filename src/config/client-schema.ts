import type { z } from 'zod';
import { certificateLists } from './certificate-rule.ts';
import { list, section } from './issues.ts';
import { readSenderField } from './names.ts';
import { publicKeyTexts, secretTexts } from './signature-schema.ts';
import { scalar, word } from './values.ts';

/** As a header carries it; a header's value has no white space at its ends, and nobody sees one inside. */
const id = scalar<string>({
  expected: 'an id of 1 to 128 visible ASCII characters, such as 4f2c1e',
  pattern: '[\\x21-\\x7e]{1,128}',
  read: (value) => (/^[\x21-\x7e]{1,128}$/.test(value) ? value : undefined),
});

/** What a client has in common with its route. */
interface Shared<Upstream, UpstreamPath, RateLimits> {
  readonly upstream: Upstream;
  readonly upstreamPath: UpstreamPath;
  readonly rateLimits: RateLimits;
}

/** The clients of one sender on one route. @param shared the schemas of what the route has too */
export function clientSchemas<
  Upstream extends z.ZodType,
  UpstreamPath extends z.ZodType,
  RateLimits extends z.ZodType,
>(shared: Shared<Upstream, UpstreamPath, RateLimits>) {
  const client = section(
    {
      id: id.describe('The id, as the header carries it; compared exactly.'),
      secrets: secretTexts()
        .optional()
        .describe(
          "The client's own secrets, of the route's signature scheme; default: those of the route's signature.",
        ),
      public_keys: publicKeyTexts().optional().describe("public-key: the client's own public keys in PEM."),
      certificate: certificateLists
        .optional()
        .describe('What its client certificate must hold, beyond what the route asks of all.'),
      upstream: shared.upstream.optional().describe("The name of its upstream; default: the route's."),
      upstream_path: shared.upstreamPath
        .optional()
        .describe("The path at the upstream; default: the route's."),
      rate_limit: shared.rateLimits
        .optional()
        .describe(
          "How many of its requests are let in; default: the route's limits, but those by address, counted for each client.",
        ),
    },
    'a mapping with id, and secrets or certificate',
  );
  const clients = section(
    {
      header: scalar<string>({ expected: 'a header name such as x-codat-clientid', read: readSenderField })
        .optional()
        .describe("The header that names the client; default: the sender's."),
      unknown: word(['refuse', 'allow'])
        .prefault('refuse')
        .describe(
          'What becomes of a request that names no known client: refuse; or allow: what the route itself says is asked of it.',
        ),
      mode: word(['enforce', 'report'])
        .prefault('enforce')
        .describe('report: a request that names a wrong or unknown client goes on, and is recorded.'),
      known: list(client, 'a list of clients with id, and secrets or certificate').describe(
        'The clients that are known.',
      ),
    },
    'a mapping with known',
  );
  return { clients, client };
}
