import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { runCommand } from './support/command.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { prepareSending, SECRET, signing } from './support/sending.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const { file, asCodat } = prepareSending();
const BEARER = 'a-token-of-the-probe';

describe('Postern', () => {
  let gateway: Gateway;
  let upstream: Upstream;
  beforeAll(async () => {
    upstream = await startUpstream();
    gateway = await startGateway(
      {
        upstreams: { app: upstream.url },
        routes: [
          {
            name: 'events',
            path: '/codat/events',
            sender: 'codat',
            addresses: 'any',
            authorization: [{ bearer: BEARER }],
            signature: { secrets: [SECRET] },
            upstream: 'app',
          },
        ],
      },
      {
        files: Object.fromEntries(
          ['server.pem', 'server.key', 'ca.pem'].map((name) => [name, readFileSync(file(name), 'utf8')]),
        ),
      },
    );
  });

  it('does all as is right', async () => {
    const result = await runCommand(
      [
        'probe',
        `https://localhost:${gateway.port}/codat/events`,
        ...asCodat,
        '--header',
        `Authorization: Bearer ${BEARER}`,
        '--issuer',
        file('ca.pem'),
        '--issuer-key',
        file('ca.key'),
      ],
      signing,
    );
    console.log(result.stdout, result.stderr);
    expect(result.exitCode).toBe(0);
  });
});
