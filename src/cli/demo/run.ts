import { rmSync } from 'node:fs';
import { relative } from 'node:path';
import { loadSender } from '../../config/senders.ts';
import { CliError } from '../exit.ts';
import { sendEvent } from '../send/event.ts';
import { makeAgent } from '../send/post.ts';
import { type Case, makeCases } from './cases.ts';
import { MAIN_FILE, type RunningGateway, startGateway } from './gateway.ts';
import { type SampleService, startService, unusedOrigin } from './service.ts';
import { mistakes, type Result, tableHead, tableRow } from './table.ts';
import { makeFolder, makeWorld, secretsOf, type World } from './world.ts';

const INTRODUCTION = `This starts Postern, a gateway for webhooks, with made-up certificates in front of a sample internal service,
and then sends it events as Codat would: good ones, forged ones, and some while the service is in trouble.
`;

/**
 * Runs the demo to its end, or until Ctrl-C where `once` is false; whatever happens, its processes and its folder are
 * gone afterwards.
 * @returns whether everything was as expected
 * @throws CliError where the gateway does not start or ends by itself
 */
export async function runDemo(once: boolean): Promise<boolean> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, interrupt);
  const open: { gateway?: RunningGateway; service?: SampleService } = {};
  const folder = await makeFolder();
  const cleanUp = () => {
    open.gateway?.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  // For ends that no `finally` sees, such as an output that is closed early.
  process.once('exit', cleanUp);
  try {
    print(INTRODUCTION);
    open.service = await startService();
    const world = await makeWorld(folder, { service: open.service.origin, down: await unusedOrigin() });
    open.gateway = await startGateway(world.configFile, secretsOf(world), interrupted.signal);
    const good = await playCases(world, open.gateway, open.service, interrupted.signal);
    if (!once && !interrupted.signal.aborted) await stayUp(world, open.gateway, interrupted.signal);
    return good;
  } finally {
    await open.gateway?.stop();
    await open.service?.close();
    cleanUp();
    process.off('exit', cleanUp);
    for (const name of signals) process.off(name, interrupt);
  }
}

async function playCases(
  world: World,
  gateway: RunningGateway,
  service: SampleService,
  signal: AbortSignal,
): Promise<boolean> {
  const agents = {
    trusted: makeAgent(world.ca, world.sender),
    stranger: makeAgent(world.ca, world.stranger),
    anonymous: makeAgent(world.ca, undefined),
  };
  const origin = `https://127.0.0.1:${gateway.port}`;
  const [events, alerts] = [loadSender('codat', world.folder), loadSender('codat-alerts', world.folder)];
  const results: Result[] = [];
  print(tableHead());
  try {
    for (const each of makeCases({ world, origin, events, alerts, agents })) {
      if (signal.aborted) throw new CliError('The demo was interrupted.');
      const result = await play(each, gateway, service);
      results.push(result);
      print(tableRow(result));
    }
  } finally {
    for (const agent of Object.values(agents)) agent.destroy();
  }
  return conclude(results);
}

async function play(each: Case, gateway: RunningGateway, service: SampleService): Promise<Result> {
  const seenBefore = service.seen.length;
  const { value: attempt } = await sendEvent(each.event, each.options).next();
  if (!attempt) throw new CliError('The event was not sent.');
  const record = attempt.requestId === undefined ? undefined : await gateway.record(attempt.requestId);
  return { case: each, attempt, record, service: service.seen.slice(seenBefore) };
}

function conclude(results: readonly Result[]): boolean {
  const wrong = results.filter((result) => mistakes(result).length > 0);
  print(
    `\n${results.length} events sent, ${results.length - wrong.length} as expected, ${wrong.length} not.`,
  );
  for (const result of wrong) print(`NOT AS EXPECTED: ${result.case.sent}: ${mistakes(result).join('; ')}`);
  return wrong.length === 0;
}

async function stayUp(world: World, gateway: RunningGateway, signal: AbortSignal): Promise<void> {
  // From a checkout through npm, which brings a runtime that runs TypeScript; the built file runs by itself.
  const fromCheckout = MAIN_FILE.endsWith('.ts');
  const command = `${fromCheckout ? 'npm run -s postern --' : `node ${relative(process.cwd(), MAIN_FILE)}`} send`;
  print(`
The gateway stays up until Ctrl-C. To send it more, in another terminal in this folder:

  export POSTERN_SEND_SECRET=${world.signingSecret}
  ${command} https://127.0.0.1:${gateway.port}/codat/events --ca ${world.caFile} \\
    --bundle ${world.bundleFile} \\
    --header 'Authorization: Bearer ${world.bearer}' --event read.completed

  ${command} https://127.0.0.1:${gateway.port}/codat/alerts-failing --sender codat-alerts --fast \\
    --ca ${world.caFile} --header 'Authorization: Bearer ${world.bearer}'

Its configuration: ${world.configFile}
Its metrics: http://127.0.0.1:${gateway.adminPort}/metrics

What it notes from now on:`);
  gateway.follow(({ method, path, status, outcome, reason }) => {
    print(`  ${method} ${path}  ${status}  ${outcome}${reason ? ` (${reason})` : ''}`);
  });
  const stopped = new Promise<'stopped'>((resolve) =>
    signal.addEventListener('abort', () => resolve('stopped')),
  );
  const end = await Promise.race([stopped, gateway.ended]);
  // Ctrl-C reaches the gateway as well, and it may be the first to go: that is no failure.
  if (end !== 'stopped' && end !== 0)
    throw new CliError(`The gateway ended by itself (exit code ${end ?? 'none'}).`);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
