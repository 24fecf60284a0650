import { Command } from 'commander';
import type { EventDetail, EventFilter, EventState, Events } from '../../events.ts';
import { configOption } from '../options.ts';
import { misuse, readStates, readType, readWhen, TIMES } from './filter.ts';
import { findAll, type Where, withEvents } from './open.ts';
import { notFound } from './show.ts';
import { jsonText, visible } from './visible.ts';
import { count } from './words.ts';

/** What both commands are told besides ids. */
type Typed = Where & {
  readonly state?: string;
  readonly failed?: true;
  readonly waiting?: true;
  readonly all?: true;
  readonly type?: string;
  readonly since?: string;
  readonly until?: string;
  readonly json?: true;
};

/** What is done to events, and how it is told. */
interface Act {
  readonly key: 'retried' | 'discarded';
  /** Of an event that is named by its id. */
  readonly states: readonly EventState[];
  readonly run: (events: Events, filter: EventFilter) => Promise<number>;
  readonly done: (number: number) => string;
}

const OPEN: readonly EventState[] = ['waiting', 'dead'];
const DISCARDABLE: readonly EventState[] = [...OPEN, 'quarantined'];
const RETRY: Act = {
  key: 'retried',
  states: OPEN,
  run: (events, filter) => events.retry(filter),
  done: (number) => `${count(number, 'event')} put back into the queue, due now`,
};
const DISCARD: Act = {
  key: 'discarded',
  states: DISCARDABLE,
  run: (events, filter) => events.discard(filter),
  done: (number) => `${count(number, 'event')} discarded`,
};
const DASHES = '\nAn id that begins with a dash stands behind --, after the options: -- --odd-id';

/** `postern events retry`: dead letters back into the queue. */
export function retryCommand(): Command {
  return new Command('retry')
    .description(
      'put dead letters back into the queue, due at once and with a fresh schedule; events that wait for their next attempt become due at once',
    )
    .argument('[ids...]', 'events by their own id or their message id; else say which by options')
    .addOption(configOption())
    .option('--failed', 'dead letters; with at least one of --since, --route, --type, or --all')
    .option('--waiting', 'events that wait for their next attempt: when an upstream is back; likewise')
    .option('--since <time>', 'with --failed: failed at this time or later; with --waiting: received then')
    .option('--route <name>', 'of this route only, or of one of its clients: NAME/CLIENT')
    .option('--type <pattern>', 'of this event type; one * at the end stands for anything: invoices.*')
    .option('--all', 'every one of them')
    .option('--json', 'print {"retried": N, "problems": [...]}')
    .addHelpText('after', TIMES + DASHES)
    .addHelpText(
      'after',
      '\nExamples:\n  postern events retry --failed --since 2h --route codat-events\n' +
        '  postern events retry msg_2ZTqvvSZL9NXFIjaYe1Bx4NJVCS',
    )
    .action((ids: readonly string[], typed: Typed) => act(RETRY, ids, typed, retryFilters(ids, typed)));
}

/** `postern events discard`: events that nobody will deliver any more. */
export function discardCommand(): Command {
  return new Command('discard')
    .description(
      'remove events that wait, are dead letters or lie in quarantine, for good; what is being delivered stays',
    )
    .argument('[ids...]', 'events by their own id or their message id; else say which by options')
    .addOption(configOption())
    .option('--state <states>', 'dead, waiting, quarantined, or several with commas between')
    .option('--since <time>', 'received at this time or later')
    .option('--until <time>', 'received before this time')
    .option('--route <name>', 'of this route only, or of one of its clients: NAME/CLIENT')
    .option('--type <pattern>', 'of this event type; one * at the end stands for anything: invoices.*')
    .option('--all', 'instead of --state: both dead and waiting; never what lies in quarantine')
    .option('--json', 'print {"discarded": N, "problems": [...]}')
    .addHelpText(
      'after',
      `${TIMES}${DASHES}\nThe claim of a discarded event stays, so a copy of it is still a duplicate: see forget. ` +
        'Export first what may be needed again.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  postern events discard --state dead --until 30d\n' +
        '  postern events discard msg_2ZTqvvSZL9NXFIjaYe1Bx4NJVCS --route codat-events',
    )
    .action((ids: readonly string[], typed: Typed) => act(DISCARD, ids, typed, discardFilters(ids, typed)));
}

function retryFilters(ids: readonly string[], typed: Typed): EventFilter[] {
  const chosen = typed.failed || typed.waiting;
  if (ids.length > 0) return noFilters(typed.failed ?? typed.waiting, typed);
  if (!chosen) return misuse('say which: ids, or --failed, or --waiting (--help shows how)');
  if (typed.all === undefined && [typed.since, typed.route, typed.type].every((one) => one === undefined))
    return misuse('say since when (--since 2h), or of which --route or --type, or --all');
  const rest = restOf(typed);
  const since = readWhen('--since', typed.since, Date.now());
  return [
    ...(typed.failed ? [{ ...rest, states: ['dead'] as const, finishedFromMs: since }] : []),
    ...(typed.waiting ? [{ ...rest, states: ['waiting'] as const, fromMs: since }] : []),
  ];
}

function discardFilters(ids: readonly string[], typed: Typed): EventFilter[] {
  if (ids.length > 0) return noFilters(typed.state, typed);
  if (typed.state === undefined && !typed.all)
    return misuse('say which: ids, or --state dead, --state waiting, or --all (--help shows how)');
  const [fromMs, toMs] = [typed.since, typed.until].map((text, place) =>
    readWhen(place === 0 ? '--since' : '--until', text, Date.now()),
  );
  const states = typed.state === undefined ? OPEN : readStates(typed.state, DISCARDABLE);
  return [{ ...restOf(typed), states, fromMs, toMs }];
}

/** Ids say all: a filter beside them would be taken for one that widens or for one that narrows. */
function noFilters(states: unknown, { since, until, type, all }: Typed): EventFilter[] {
  return [states, since, until, type, all].every((one) => one === undefined)
    ? []
    : misuse('give ids (with --route, where several routes had the message) or other filters, not both');
}

function restOf({ route, type }: Typed): EventFilter {
  return { route, eventType: type === undefined ? undefined : readType(type) };
}

async function act(does: Act, ids: readonly string[], typed: Typed, filters: EventFilter[]): Promise<void> {
  const problems: string[] = [];
  let number = 0;
  await withEvents(typed, async (events) => {
    for (const filter of filters) number += await does.run(events, filter);
    for (const id of new Set(ids)) {
      const found = await findAll(events, id, typed.route);
      if (found.length === 0) problems.push(notFound(id, typed.route));
      for (const event of found) {
        const changed = await does.run(events, { id: event.id, route: event.route, states: does.states });
        number += changed;
        if (changed === 0) problems.push(refusal(event));
      }
    }
  });
  if (typed.json) console.log(jsonText({ [does.key]: number, problems }));
  else {
    for (const problem of problems) process.stderr.write(`${problem}\n`);
    console.log(does.done(number));
  }
  if (problems.length > 0) process.exitCode = 1;
}

function refusal({ id, route, state }: EventDetail): string {
  const event = `${visible(id)} (route ${visible(route)})`;
  if (state === 'delivering')
    return `${event} is being delivered at this moment; look again when that has ended`;
  if (state === 'quarantined') return `${event} lies in quarantine, and was never delivered; release it`;
  if (state === 'delivered') return `${event} was delivered already and is left as it is`;
  return `${event} has changed in the meantime; look again`;
}
