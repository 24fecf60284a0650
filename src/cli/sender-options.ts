import type { Command } from 'commander';

/** The options by which a command sends as somebody: the same for `send` and `probe`. */
export function addSenderOptions(command: Command): Command {
  return command
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
    .option('--ca <file>', "CA of the receiver's certificate; default: the public CAs")
    .option('--header <field>', "'Name: value' to send along; may be repeated", collect)
    .option(
      '--secret <secret>',
      'signing secret, whsec_… or whsk_…; may be repeated: the old ones of a rotation; ' +
        'better set POSTERN_SEND_SECRET, which no process list shows',
      collect,
    )
    .option('--no-signature', 'do not sign')
    .option('--timeout <duration>', "how long to wait for an answer; default: the sender's deadline");
}

/** An option that may be given several times, as a list. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}
