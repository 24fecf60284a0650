import { userInfo } from 'node:os';
import { Command } from 'commander';
import type { EventFilter } from '../../events.ts';
import type { Forced } from '../../quarantined.ts';
import { configOption } from '../options.ts';
import { misuse, readType, readWhen, TIMES } from './filter.ts';
import { type Where, withEvents } from './open.ts';
import { releaseAll, releaseByIds } from './release-run.ts';
import { jsonText } from './visible.ts';
import { count } from './words.ts';

type TypedRelease = Where & {
  readonly all?: true;
  readonly type?: string;
  readonly since?: string;
  readonly until?: string;
  readonly force?: true;
  readonly reason?: string;
  readonly json?: true;
};

const LONGEST_REASON = 500;

const HELP = `
Each is judged by the secrets that its route has now, as of the time at which it came: put the secret that it was signed
with into the configuration first. What holds claims its id and is delivered at once; what does not, what the filter of
its route does not want, and what was accepted before stays where it is, and exit code 1 says so.

--force delivers an event whose signature does not hold: somebody vouches for it. It takes ids, so that each has been
looked at. Who did it, when and why is kept with the event: show, export and audit say so, and an attestation to the
upstream then names no signature and no id.

Examples:
  postern events release --route codat-events
  postern events release 0b8f4c1e-5f0e-4c5c-9c55-3d8d4f6a2b11 --force --reason 'the sender confirmed it, ticket 4711'`;

/** `postern events release`: out of the quarantine. */
export function releaseCommand(): Command {
  return new Command('release')
    .description('deliver events of the quarantine whose signature holds by now')
    .argument('[ids...]', 'events by their own id or their message id; else say which by options')
    .addOption(configOption())
    .option('--since <time>', 'received at this time or later')
    .option('--until <time>', 'received before this time')
    .option('--route <name>', 'of this route only')
    .option('--type <pattern>', 'of this event type; one * at the end stands for anything: invoices.*')
    .option('--all', 'every one of them')
    .option('--force', 'even if the signature does not hold; with ids and --reason')
    .option('--reason <text>', 'with --force: why, for the audit')
    .option('--json', 'print {"released": N, "problems": [...]}')
    .addHelpText('after', `${TIMES}\n${HELP}`)
    .action(async (ids: readonly string[], typed: TypedRelease) => {
      const forced = forcedOf(ids, typed);
      const filter = filterOf(ids, typed);
      const { released, problems } = await withEvents(typed, (events, settings) =>
        filter === undefined
          ? releaseByIds(events, settings, ids, { route: typed.route, forced })
          : releaseAll(events, settings, filter),
      );
      if (typed.json) console.log(jsonText({ released, problems }));
      else {
        for (const problem of problems) process.stderr.write(`${problem}\n`);
        console.log(`${count(released, 'event')} released, due now`);
      }
      if (problems.length > 0) process.exitCode = 1;
    });
}

/** @returns `undefined`: the ids say all */
function filterOf(ids: readonly string[], typed: TypedRelease): EventFilter | undefined {
  const { route, type, since, until, all } = typed;
  const given = [since, until, type, all].filter((one) => one !== undefined);
  if (ids.length > 0)
    return given.length === 0
      ? undefined
      : misuse('give ids (with --route, where several routes had the message) or other filters, not both');
  if (given.length === 0 && route === undefined)
    return misuse('say which: ids, or --route, --type, --since or --until, or --all (--help shows how)');
  const nowMs = Date.now();
  return {
    route,
    states: ['quarantined'],
    eventType: type === undefined ? undefined : readType(type),
    fromMs: readWhen('--since', since, nowMs),
    toMs: readWhen('--until', until, nowMs),
  };
}

function forcedOf(ids: readonly string[], { force, reason }: TypedRelease): Forced | undefined {
  if (force === undefined) return reason === undefined ? undefined : misuse('--reason belongs to --force');
  if (ids.length === 0) return misuse('--force takes ids: who vouches for an event has looked at it');
  const text = reason?.trim() ?? '';
  if (text === '' || text.length > LONGEST_REASON)
    return misuse(`--force needs --reason, up to ${LONGEST_REASON} characters, for the audit`);
  return { by: operator(), reason: text, atMs: Date.now() };
}

/** The account, and behind sudo who became it. */
function operator(): string {
  const account = accountName();
  const { SUDO_USER: user } = process.env;
  return user === undefined || user === account ? account : `${user} as ${account}`;
}

function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    // In a container the number may have no name.
    return `uid ${process.getuid?.() ?? 'unknown'}`;
  }
}
