import type { Attempt, EventDetail } from '../../events.ts';
import { ownerOf } from '../../lane.ts';
import { dueText, isoTime, spanText } from './time.ts';
import { plainText, textOf, visible, visibleLines } from './visible.ts';
import { count } from './words.ts';

const LABEL_WIDTH = 9;
const BASE64_COLUMNS = 76;

/** Everything of an event, for people: nothing in it acts on their terminal. */
export function eventText(event: EventDetail, nowMs: number): string {
  return [
    ...facts(event, nowMs),
    '',
    'headers',
    ...headerLines(event),
    '',
    ...payload(event),
    '',
    event.log.length === 0 ? 'no attempt yet' : 'attempts',
    ...event.log.flatMap(attemptLines),
  ].join('\n');
}

function facts(event: EventDetail, nowMs: number): string[] {
  const { certificate, dueMs, expiresMs, finishedMs, forced } = event;
  const rows: (readonly [string, string | undefined])[] = [
    ['event', event.id],
    ['route', ownerOf(event.route).route],
    ['client', event.client === '' ? undefined : event.client],
    ['message', event.messageId],
    ['type', event.eventType],
    ['state', `${event.state}, ${count(event.attempts, 'attempt')}`],
    ['received', at(event.receivedMs, nowMs)],
    ['expires', expiresMs === undefined ? undefined : isoTime(expiresMs)],
    ['forced', forced && `by ${forced.by} at ${isoTime(forced.atMs)}: ${forced.reason}`],
    ['due', dueMs === undefined ? undefined : `${isoTime(dueMs)} (${dueText(dueMs, nowMs)})`],
    ['finished', finishedMs === undefined ? undefined : at(finishedMs, nowMs)],
    ['sender', event.address],
    ['cert', certificate && `${certificate.subject} ${certificate.fingerprint}`],
    ['secret', event.secret === undefined ? undefined : `place ${event.secret} in the list`],
    ['request', `${event.method} ${event.path}${event.query}`],
    ['body', `${count(event.bytes, 'byte')}, SHA-256 ${event.bodySha256 || 'not known'}`],
  ];
  return rows.flatMap(([name, value]) =>
    value === undefined ? [] : [`${name.padEnd(LABEL_WIDTH)} ${visible(value)}`],
  );
}

function at(ms: number, nowMs: number): string {
  return `${isoTime(ms)} (${spanText(nowMs - ms)} ago)`;
}

function headerLines({ headers }: EventDetail): string[] {
  const lines: string[] = [];
  for (let place = 0; place + 1 < headers.length; place += 2)
    lines.push(visible(`  ${headers[place]}: ${headers[place + 1]}`));
  return lines.length === 0 ? ['  none'] : lines;
}

function payload({ body, unreadable }: EventDetail): string[] {
  if (unreadable !== undefined) return [visible(`what is encrypted of it is not shown: ${unreadable}`)];
  if (body.length === 0) return ['payload: empty'];
  const text = plainText(body);
  if (text !== undefined) return ['payload', text.trimEnd()];
  const what = textOf(body) === undefined ? 'it is no UTF-8' : 'it holds control characters';
  return [`payload in base64: ${what}`, ...lines(body.toString('base64'))];
}

function attemptLines(attempt: Attempt): string[] {
  const { number, startedMs, durationMs, target, status, reason, detail, answer } = attempt;
  const result = [status, reason, detail === undefined ? undefined : `(${detail})`].filter(
    (part) => part !== undefined,
  );
  const columns = [
    isoTime(startedMs),
    `${Math.round(durationMs)} ms`,
    target ?? 'no target',
    result.join(' '),
  ];
  const head = visible(`  ${String(number).padStart(3)}  ${columns.join('  ')}`);
  return answer.length === 0 ? [head] : [head, ...answerLines(answer)];
}

/** The beginning of what the upstream said: the last character may be cut. */
function answerLines(answer: Buffer): string[] {
  const text = textOf(answer, true);
  const shown =
    text === undefined ? ['in base64:', ...lines(answer.toString('base64'))] : [visibleLines(text).trimEnd()];
  return shown.flatMap((part) => part.split('\n')).map((line) => `       ${line}`);
}

function lines(text: string): string[] {
  return text.match(new RegExp(`.{1,${BASE64_COLUMNS}}`, 'g')) ?? [];
}
