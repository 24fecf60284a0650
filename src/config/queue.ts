import { z } from 'zod';
import type { SenderProfile } from '../sender-profile.ts';
import type { OrderKey, QueueSettings } from '../settings.ts';
import type { StateSettings } from '../state-settings.ts';
import type { Path } from './document.ts';
import { list, type Partly, section } from './issues.ts';
import { readSenderField } from './names.ts';
import type { Report } from './problems.ts';
import type { RouteInput } from './schema.ts';
import { duration, integer, rate, scalar } from './values.ts';

const LONGEST_PAUSE_HOURS = 30 * 24;

/** When a delivery is tried again. The defaults are Svix's own schedule, which Codat's events follow too. */
const retry = section(
  {
    attempts: integer('a number of attempts', 1, 1000)
      .prefault(8)
      .describe('How often an event is sent at most before it is a dead letter.'),
    schedule: list(duration({ maxHours: LONGEST_PAUSE_HOURS }), 'a list of durations such as [5s, 5m]')
      .prefault(['5s', '5m', '30m', '2h', '5h', '10h', '10h'])
      .describe(
        'The pauses between attempts, each shortened or lengthened by up to a fifth; the last one repeats.',
      ),
    give_up: z
      .array(integer('an HTTP status', 300, 599), { error: 'a list of statuses such as [400, 410, 422]' })
      .prefault([400, 410, 422])
      .describe(
        'Statuses of the upstream that make an event a dead letter at once; all others are tried again.',
      ),
  },
  'a mapping with attempts, schedule and give_up',
);

/** The keys of a route that say how its queue is delivered. */
export const queueShape = {
  retry: retry.optional().describe('With deliver: queue or late: queue, when a delivery is tried again.'),
  concurrency: integer('a number of deliveries', 1, 10_000)
    .optional()
    .describe(
      'With deliver: queue or late: queue, how many deliveries of this route may be begun from the queue at one time; default: 10.',
    ),
  deliver_rate: rate()
    .optional()
    .describe(
      "With deliver: queue or late: queue, how many deliveries may begin from the queue in a span of time: the upstream's pace.",
    ),
  ordered: scalar<OrderKey>({
    expected: 'certificate, company or header:NAME',
    pattern: 'certificate|company|header:.+',
    read(value) {
      if (value === 'certificate' || value === 'company') return { by: value };
      if (!value.startsWith('header:')) return undefined;
      const field = readSenderField(value.slice('header:'.length));
      return typeof field === 'string' ? { by: 'header', name: field } : field;
    },
  })
    .optional()
    .describe('With deliver: queue, what events must share to be delivered one after the other, in order.'),
};

const KEYS = Object.keys(queueShape) as (keyof typeof queueShape)[];
const CONCURRENCY = 10;

/** The rules of a queue that no single key can break. */
export function checkQueue(
  { values, right }: Partly<RouteInput>,
  { sender, driver }: { sender: SenderProfile | undefined; driver: StateSettings['driver'] | undefined },
  path: Path,
  report: Report,
): void {
  if (!right('deliver', 'late')) return;
  if (values.deliver === 'forward') {
    // What is forwarded waits for nothing, so the few that are late could keep no order.
    const meaningful: readonly string[] =
      values.late === 'queue' ? ['retry', 'concurrency', 'deliver_rate'] : [];
    for (const key of KEYS) {
      if (values[key] === undefined || meaningful.includes(key)) continue;
      const where = key === 'ordered' ? '"deliver: queue"' : '"deliver: queue" or "late: queue"';
      report.add([...path, key], `has a meaning with ${where} only; write that, or remove it`, 'key');
    }
    return;
  }
  if (values.late === 'queue') {
    report.add(
      [...path, 'late'],
      'with "deliver: queue" no sender waits for the upstream, so nothing is late; remove one of the two',
    );
  }
  if (values.on_state_loss === 'allow') {
    report.add(
      [...path, 'on_state_loss'],
      'allow with "deliver: queue" would acknowledge events that nobody holds; remove it',
    );
  }
  if (values.ordered !== undefined && driver === 'redis') {
    report.add(
      [...path, 'ordered'],
      'the queue on Redis (BullMQ) knows no order by key; remove it, or write "driver: sqlite" under state',
      'key',
    );
  }
  const by = values.ordered?.by;
  if (by === 'certificate' && values.certificate === 'none')
    report.add(
      [...path, 'ordered'],
      'by certificate with "certificate: none" orders nothing; remove one of the two',
    );
  if (by === 'company' && right('sender') && (sender?.event.company ?? []).length === 0) {
    const whose = sender === undefined ? 'the route has no sender' : `the sender ${sender.name} does not say`;
    report.add(
      [...path, 'ordered'],
      `${whose}, so where the company stands is not known; give event.company in a sender profile, or order by something else`,
    );
  }
}

export function queueOf(input: RouteInput): QueueSettings {
  const { attempts, schedule, give_up } = input.retry ?? retry.parse({});
  return {
    attempts,
    scheduleMs: schedule,
    giveUp: give_up,
    concurrency: input.concurrency ?? CONCURRENCY,
    pace: input.deliver_rate,
    ordered: input.ordered,
  };
}
