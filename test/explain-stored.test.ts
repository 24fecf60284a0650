import { createHash, randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import type { CommandResult } from './support/command.ts';
import { type Gateway, startGateway } from './support/gateway.ts';
import { quarantineRoute, runFor, runWith, sendUnproved } from './support/quarantine.ts';
import { configText } from './support/reload.ts';
import { newSecret } from './support/secrets.ts';
import { post } from './support/sender.ts';
import { startUpstream } from './support/upstream.ts';

const [ours, rotated, others, bearer] = [newSecret(), newSecret(), newSecret(), `bearer-${randomUUID()}`];
const body = '{"eventType":"orders.made","note":"a body of its own"}';
let gateway: Gateway;

beforeAll(async () => {
  const upstream = await startUpstream();
  const config = (secrets: string[], more: object = {}) => ({
    state: { driver: 'sqlite', path: 'state.db' },
    upstreams: { app: upstream.url },
    routes: [
      quarantineRoute(secrets, {
        addresses: ['127.0.0.0/8'],
        certificate: { names: ['CN:sender'] },
        authorization: [{ bearer }],
        headers: { 'x-postern-like': '1' },
        ...more,
      }),
      quarantineRoute([others], { name: 'other', path: '/other', deliver: 'queue' }),
    ],
  });
  const files = {
    'rotated.yaml': configText(config([ours, rotated])),
    'moved.yaml': configText(config([ours], { path: '/moved', certificate: { names: ['CN:somebody'] } })),
  };
  gateway = await startGateway(config([ours]), { files });
});

const headers = [
  ['Authorization', `Bearer ${bearer}`],
  ['X-Postern-Like', '1'],
] as const;
const send = (secret: string, id?: string): Promise<string> =>
  sendUnproved(gateway, { headers, body, sign: id === undefined ? { secret } : { secret, id } });

async function explained(result: CommandResult) {
  const { stdout, stderr, exitCode } = result;
  for (const secret of [ours, rotated, others, bearer])
    expect(stdout + stderr).not.toContain(secret.replace(/^(whsec_|bearer-)/, ''));
  const json = JSON.parse(stdout);
  const steps = json.checks.map(({ check, answer, reason }: Record<string, string>) =>
    [check, answer, reason].filter((one) => one !== undefined).join(' '),
  );
  return { exitCode, json, steps, checks: json.checks as { check: string; detail?: string }[] };
}
const explain = async (config: string, ...words: string[]) =>
  explained(await runWith(config, gateway, 'explain', '--json', '--id', ...words));

const LET_IN = [
  'request passed',
  'route passed',
  'method passed',
  'load not_judged',
  'address passed',
  'certificate passed',
  'authorization not_judged',
  'body passed',
];

describe('postern explain --id', () => {
  test('asks every check about an event in quarantine, as of the time at which it came', async () => {
    const id = await send(rotated);
    const { exitCode, json, steps, checks } = await explain('postern.yaml', id);
    expect(exitCode).toBe(1);
    expect(steps).toEqual([...LET_IN, 'signature refused signature.mismatch']);
    expect(json).toMatchObject({
      let_in: false,
      reason: 'signature.mismatch',
      route: 'a',
      time_from: 'capture',
    });
    expect(json.signature).toMatchObject({ families: ['webhook'], versions: { v1: 1 }, secrets_tried: 1 });
    expect(Math.abs(json.signature.skew_seconds)).toBeLessThan(30);
    expect(json.signature.findings).toMatchObject([{ kind: 'secret.unknown' }]);
    expect(checks.find(({ check }) => check === 'authorization')?.detail).toBe(
      'credentials are not kept; those that came with it held',
    );
  });

  test('says that it would be let in by the secrets of now', async () => {
    const { exitCode, json, steps } = await explain(
      'rotated.yaml',
      await send(rotated, 'msg_by_its_message_id'),
    );
    expect([exitCode, json.let_in]).toEqual([0, true]);
    expect(steps).toEqual([...LET_IN, 'signature passed']);
    expect((await explain('rotated.yaml', 'msg_by_its_message_id')).json.let_in).toBe(true);
  });

  test('finds the other route by whose secret the signature holds', async () => {
    const { json } = await explain('postern.yaml', await send(others));
    expect(json.signature.findings).toMatchObject([{ kind: 'secret.route', route: 'other' }]);
  });

  test('judges by the route that took the event, and says where the gateway would not find it any more', async () => {
    const { json, steps, checks } = await explain('moved.yaml', await send(rotated));
    expect(json.route).toBe('a');
    expect(checks[1]?.detail).toBe(
      'a, which took it; by itself the gateway would refuse it: route.not_found',
    );
    expect(steps).toContain('certificate refused certificate.not_allowed');
    expect(steps).toContain('signature refused signature.mismatch');
  });

  test('takes an event that was queued as well, as far as it is kept', async () => {
    const answer = await post(gateway, { path: '/other', body, sign: { secret: others } });
    expect(answer.status).toBe(202);
    const { exitCode, json, steps } = await explain('postern.yaml', answer.id);
    expect([exitCode, json.let_in, json.route]).toEqual([0, true, 'other']);
    expect(steps.at(-1)).toBe('signature passed');
    expect(json.notes[0]).toMatch(/^Of an event that was never in quarantine only the headers are kept/);
  });

  test('names no event, several, or both kinds of input: each is told', async () => {
    const id = `msg_${createHash('sha256').update(randomUUID()).digest('hex')}`;
    await send(rotated, id);
    await send(others, id);
    const run = (...words: string[]) => runFor(gateway, 'explain', ...words);
    const [nowhere, several, both, none] = await Promise.all([
      run('--id', 'nowhere'),
      run('--id', id),
      run('--id', id, '--request', '-'),
      run(),
    ]);
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([
      1,
      expect.stringMatching(/^nowhere: there is no such event/),
    ]);
    expect([several.exitCode, several.stderr]).toEqual([
      2,
      expect.stringMatching(/ names 2 events; give the own id of one: .*, quarantined/),
    ]);
    for (const one of [both, none])
      expect([one.exitCode, one.stderr]).toEqual([
        2,
        expect.stringMatching(/give one of --request FILE and --id ID/),
      ]);
  });
});
