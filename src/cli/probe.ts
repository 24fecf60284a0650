import { performance } from 'node:perf_hooks';
import { Command } from 'commander';
import type { ProbeOptions, ProbePlan } from './probe/options.ts';
import type { Result } from './probe/run.ts';
import { addSenderOptions, collect } from './sender-options.ts';

const HELP = `
It sends good events that the service behind the receiver will get: their type is postern.probe, their ids begin with
msg_postern_probe_, and nothing is retried. What proves the sender must be given as the receiver knows it: the secret
in POSTERN_SEND_SECRET (two, separated by a space: the second is being rotated out), the certificate, the headers.
A credential that is given must be needed: an event without it is to be refused.
Cases that need what was not given are left out, and it is said why.

Exit code 0: all is right; 1: something was missed or could not be judged; 2: wrong use.

Examples:
  export POSTERN_SEND_SECRET=whsec_...
  postern probe https://localhost:8443/codat/events --ca certs/ca.pem --bundle certs/client-bundle.pem \\
    --header 'Authorization: Bearer TOKEN' --issuer certs/ca.pem --issuer-key certs/ca.key
  postern probe https://hooks.example.com/in --sender standard-webhooks --no-certificate --json`;

/** `postern probe`: a conformance test for a receiver of webhooks, whoever wrote it. */
export function probeCommand(): Command {
  const command = new Command('probe')
    .summary('try how a receiver takes good, forged and odd events')
    .description(
      'Tests any receiver of webhooks from the outside: sends it about sixty good, forged and odd requests as the ' +
        'sender, and as somebody who would like to be, one at a time and in less than a minute. Prints what came, what ' +
        'is right to expect, and why.',
    )
    .argument('<url>', "the receiver's address, such as https://localhost:8443/codat/events");
  return addSenderOptions(command)
    .option('--issuer <file>', "the client certificate's CA, to make an expired one and the like")
    .option('--issuer-key <file>', "that CA's private key")
    .option('--only <case>', 'try this case alone, after the good event; may be repeated', collect)
    .option('--slow', 'also try what takes its time: up to three minutes more')
    .option('--strict', 'take what is doubtful for a miss')
    .option('--json', 'print one JSON object for each case')
    .addHelpText('after', HELP)
    .action(probe);
}

async function probe(url: string, typed: ProbeOptions): Promise<void> {
  // Loaded only here, as with `send`.
  const [{ planProbe }, { runCases }, print] = await Promise.all([
    import('./probe/options.ts'),
    import('./probe/run.ts'),
    import('./probe/print.ts'),
  ]);
  const plan = await planProbe(url, typed);
  // With --json, standard output is for data only.
  const toPeople = (text: string): void => {
    (typed.json ? process.stderr : process.stdout).write(`${text}\n`);
  };
  toPeople(introduction(plan));
  if (!typed.json) toPeople(print.tableHead());
  const startedMs = performance.now();
  const results = await runCases(plan.stage, plan.cases, plan.pace, (result) => {
    process.stdout.write(
      `${typed.json ? JSON.stringify(print.resultJson(result)) : print.tableRow(result)}\n`,
    );
  });
  if (!typed.json) toPeople(['', ...print.footnotes(results, plan.stage.profile)].join('\n'));
  toPeople(`\n${print.summary(results, plan.cases.length, performance.now() - startedMs)}`);
  process.exitCode = results.every((result) => isGood(result, typed.strict === true)) ? 0 : 1;
}

function isGood({ verdict }: Result, isStrict: boolean): boolean {
  return verdict === 'right' || verdict === 'left out' || (verdict === 'doubtful' && !isStrict);
}

function introduction({ stage, cases, pace }: ProbePlan): string {
  const tried = cases.filter(({ lacks, slowMs }) => lacks === undefined && (!slowMs || pace.isSlow)).length;
  return (
    `Probing ${stage.url.origin}${stage.url.pathname} as ${stage.profile.name}: ${tried} cases, one request at a time, ` +
    `${pace.isSlow ? 'in a few minutes' : 'in less than a minute'}.\n` +
    'Good events among them are accepted by a right receiver and reach the service behind it; their type is postern.probe.\n'
  );
}
