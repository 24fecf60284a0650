import { Command } from 'commander';

/** `postern demo`: the gateway at work, on this machine, in a minute. */
export function demoCommand(): Command {
  return new Command('demo')
    .summary('watch the gateway let events in and keep forged ones out')
    .description(
      'Starts the gateway with made-up certificates in front of a sample service, sends it good and bad events, ' +
        'and shows for each what the sender got, what the gateway noted and what the service saw. Then it stays up ' +
        'until Ctrl-C. Everything is on 127.0.0.1 and in a temporary folder that is removed at the end.',
    )
    .option('--once', 'end after the events; exit code 1 if anything was not as expected')
    .addHelpText('after', '\nExample:\n  postern demo --once')
    .action(async ({ once = false }: { readonly once?: boolean }) => {
      // Loaded only here: the other commands must not pay for what the demo needs.
      const { runDemo } = await import('./demo/run.ts');
      process.exitCode = (await runDemo(once)) ? 0 : 1;
    });
}
