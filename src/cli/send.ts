import { Command } from 'commander';
import type { TypedOptions } from './send/options.ts';
import type { Totals } from './send/run.ts';

const HELP = `
A pause is the sender's own: up to 10 h. --fast divides each by 36000 and shows both.
Exit code 0: every event was accepted with a 2xx; 1: the sender would have given up on one.

Examples:
  export POSTERN_SEND_SECRET=whsec_...
  postern send https://localhost:8443/codat/events --ca certs/ca.pem --bundle certs/client-bundle.pem \\
    --header 'Authorization: Bearer TOKEN' --event read.completed
  postern send https://localhost:8443/codat/alerts --ca certs/ca.pem --sender codat-alerts --fast \\
    --header 'Authorization: Basic dXNlcjpwYXNzd29yZA=='`;

/** `postern send`: be the sender. */
export function sendCommand(): Command {
  return new Command('send')
    .summary('be the sender: send signed events over mTLS')
    .description(
      'Sends events as a webhook sender does: client certificate, signature, headers, and after a failure the ' +
        "sender's own retries and Retry-After. Prints every attempt and what the sender would do next.",
    )
    .argument('[url]', 'where to, such as https://localhost:8443/codat/events')
    .option(
      '--sender <name>',
      'whose rules: codat, codat-alerts, svix, github or another of config/senders, or your own',
      'codat',
    )
    .option('--config-folder <dir>', 'folder whose senders/ holds your own sender profiles', 'config')
    .option('--bundle <file>', "the sender's private key, a blank line, its certificate")
    .option('--cert <file>', "the sender's certificate, where it is a file of its own")
    .option('--key <file>', "the sender's private key, where it is a file of its own")
    .option('--no-certificate', 'present no client certificate')
    .option('--ca <file>', "CA of the gateway's certificate; default: the public CAs")
    .option('--header <field>', "'Name: value' to send along; may be repeated", collect)
    .option('--secret <whsec>', 'signing secret; better set POSTERN_SEND_SECRET, which no process list shows')
    .option('--no-signature', 'do not sign')
    .option('--event <name>', 'a sample event; default: one that this sender sends')
    .option('--list-events', 'print the names of the sample events and end')
    .option('--body <file>', 'send this file, byte for byte, instead of a sample event')
    .option('--id <id>', 'message id; default: a new one for each event')
    .option('--method <method>', 'POST or PUT', 'POST')
    .option('--count <n>', 'how many events, each with its own id', '1')
    .option('--rate <rate>', 'how many are started in a time, such as 5/s; default: as fast as they go')
    .option('--timeout <duration>', "how long to wait for an answer; default: the sender's deadline")
    .option('--fast', 'shorten every pause')
    .option('--json', 'print one JSON object for each attempt')
    .addHelpText('after', HELP)
    .action(
      async (
        url: string | undefined,
        options: TypedOptions & { readonly listEvents?: boolean },
        command: Command,
      ) => {
        if (options.listEvents) return listEvents();
        if (url === undefined)
          return command.error("error: missing required argument 'url'", { exitCode: 2 });
        await send(url, options);
      },
    );
}

async function send(url: string, typed: TypedOptions): Promise<void> {
  // Loaded only here: the other commands must not pay for the svix package in time and memory.
  const [{ planSend }, { sendAll }, { attemptJson, attemptLine }] = await Promise.all([
    import('./send/options.ts'),
    import('./send/run.ts'),
    import('./send/print.ts'),
  ]);
  const totals = await sendAll(await planSend(url, typed), (attempt) => {
    process.stdout.write(`${typed.json ? JSON.stringify(attemptJson(attempt)) : attemptLine(attempt)}\n`);
  });
  // With --json, standard output is for data only.
  (typed.json ? process.stderr : process.stdout).write(`${summary(totals)}\n`);
  process.exitCode = totals.givenUp === 0 ? 0 : 1;
}

function summary({ accepted, givenUp, attempts, ms }: Totals): string {
  const events = accepted + givenUp;
  const sent = `${events} ${events === 1 ? 'event' : 'events'}`;
  const tried = `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`;
  return `${sent}: ${accepted} accepted, ${givenUp} given up; ${tried} in ${(ms / 1000).toFixed(1)} s`;
}

async function listEvents(): Promise<void> {
  const { SAMPLE_EVENTS } = await import('./sample-events.ts');
  for (const { name, kind } of SAMPLE_EVENTS) {
    process.stdout.write(`${name.padEnd(34)}  ${kind === 'events' ? 'signed event' : 'rule alert'}\n`);
  }
}

function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
