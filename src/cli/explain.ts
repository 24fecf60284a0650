import { Command } from 'commander';
import type { TypedExplain } from './explain/run.ts';
import { configOption } from './options.ts';

const HELP = `
FILE is raw HTTP (head, empty line and body as they were on the wire) or JSON:
  {"method": "POST", "path": "/codat/events", "headers": [["webhook-id", "msg_1"]], "body": "..." or "body_base64": "...",
   "peer": {"address": "203.0.113.9", "certificate": {"names": ["DNS:codat"], "fingerprint": "sha256:...",
   "public_key": "sha256:...", "not_after": "..."} or {"pem": "..."}}, "time": "2026-01-31T12:00:00Z"}
Of an event that is named by --id the state knows all of this but the credentials; --route says which, where several routes
had the message.
Nothing is sent, stored or counted, and no secret is ever printed; the capture itself may hold some, so keep it safe.

Exit code 0: it would be let in; 1: it would be refused; 2: wrong use; 78: bad configuration.

Examples:
  postern explain --request capture.http --address 203.0.113.9 --certificate client.pem --time 2026-01-31T12:00:00Z
  postern explain --request capture.json --route codat-events --json
  postern explain --id 0b8f4c1e-5f0e-4c5c-9c55-3d8d4f6a2b11`;

/** `postern explain`: why a captured request is let in or refused. */
export function explainCommand(): Command {
  return new Command('explain')
    .summary('say why a captured request, or an event of the state, is let in or refused')
    .description(
      "Asks each check of the gateway about a captured request or an event of the state, in order, and says each one's answer; for a signature " +
        'that does not hold it says what it would hold for.',
    )
    .addOption(configOption())
    .option('--request <file>', 'the captured request; -: standard input')
    .option(
      '--id <id>',
      'an event of the state, by its own id or its message id: one in quarantine, or any other',
    )
    .option('--route <name>', 'judge it by this route; default: the one that the gateway would find')
    .option(
      '--address <address>',
      "the address it came from; behind a proxy that is trusted, the sender's own",
    )
    .option('--certificate <file>', 'the client certificate it came with, in PEM, with those above it')
    .option('--no-certificate', 'it came with none')
    .option('--time <time>', 'when it came: 2026-01-31T12:00:00Z, or how long ago, such as 2h')
    .option('--json', 'print one JSON object')
    .addHelpText('after', HELP)
    .action(async (typed: TypedExplain) => {
      // Loaded only here, as with `send`.
      const [{ explain }, { explanationJson, explanationText, refusalOf }] = await Promise.all([
        import('./explain/run.ts'),
        import('./explain/print.ts'),
      ]);
      const explanation = await explain(typed);
      console.log(typed.json ? explanationJson(explanation) : explanationText(explanation));
      process.exitCode = refusalOf(explanation.steps) === undefined ? 0 : 1;
    });
}
