import { createHash } from 'node:crypto';
import { defaults } from '../support/ca.ts';
import { type RequestLine, requestLine } from '../support/log-line.ts';
import { type Conversation, converse, newAddress, type Received } from './converse.ts';
import type { DoorCase, Expectation } from './corpus.ts';
import { type Arrival, pairs, valuesOf } from './recorder.ts';
import { bytesFor, type Handed, handedOf } from './upstream-view.ts';
import type { World } from './world.ts';

/** What came of one case. */
export interface Trial {
  readonly from: string;
  /** Its sender closed its side behind it. */
  readonly isCut: boolean;
  readonly said: Conversation;
  /** What the upstream saw from the case's first byte to the request that another sender sent after it. */
  readonly arrivals: readonly Arrival[];
}

/** Sent behind each case on the same connection: whether it is answered tells whether the connection is kept. */
export const PROBE = Buffer.from('GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n');
/** Sent by another sender when a case is over: what the case has set in motion has arrived before it. */
const AFTER = Buffer.from('GET /after HTTP/1.1\r\nHost: after\r\nConnection: close\r\n\r\n');

/**
 * Sends one case, on a connection of its own. Where it is cut off its sender closes its side behind it: what it sends
 * is not whole, and more bytes would become part of it.
 */
export async function tryCase(world: World, { bytes }: DoorCase, isCut: boolean): Promise<Trial> {
  const { gateway, recorder } = world;
  const from = newAddress();
  const first = recorder.arrivals.length;
  const saying = { from, pieces: isCut ? [bytes] : [bytes, PROBE], closes: isCut };
  const said = await converse(gateway, saying, (answers) => answers.some((one) => isProbe(world, one)));
  await converse(gateway, { from: newAddress(), pieces: [AFTER] }, () => false);
  return { from, isCut, said, arrivals: recorder.arrivals.slice(first) };
}

/** What the upstream saw of the request that this answer is to, as it says itself. */
function arrivalOf({ recorder }: World, { fields }: Received): Arrival | undefined {
  const [seen] = valuesOf(fields, 'x-seen');
  return seen === undefined ? undefined : recorder.arrivals[Number(seen)];
}

const isProbe = (world: World, answer: Received): boolean => arrivalOf(world, answer)?.target === '/probe';
const idOf = ({ fields }: Received): string => valuesOf(fields, 'x-request-id').join();
const isLast = ({ fields }: Received): boolean => valuesOf(fields, 'connection').includes('close');

/** Everything that must hold whatever the table says; a sentence for each thing that does not. */
export async function faultsOf(world: World, trial: Trial): Promise<string[]> {
  const { said, arrivals, from, isCut } = trial;
  const { authority } = world.recorder;
  const certificate = (await defaults()).client.leaf.raw;
  const answers = said.answers.filter(({ status }) => status >= 200);
  const faults: string[] = [];
  // A sender that has closed its side is asked whether it is there.
  if (!isCut && answers.length < said.answers.length) faults.push('an interim answer that nobody waits for');
  const passed = answers.filter((one) => arrivalOf(world, one) !== undefined);
  const seen = arrivals.slice(0, -1);
  if (passed.length !== seen.length || passed.some((one, at) => arrivalOf(world, one) !== seen[at]))
    faults.push('the upstream did not see exactly the requests that its answers are to, in their order');
  if (arrivals.at(-1)?.target !== '/after') faults.push('the request sent afterwards was not the last one');
  for (const answer of passed) {
    const arrival = arrivalOf(world, answer) as Arrival;
    const wanted = bytesFor(handedOf(arrival), { from, authority, id: idOf(answer), certificate });
    if (arrival.raw !== wanted)
      faults.push(`the upstream got ${JSON.stringify(arrival.raw)}, not ${JSON.stringify(wanted)}`);
    const body = arrival.method === 'HEAD' ? '' : `seen ${valuesOf(answer.fields, 'x-seen')}`;
    if (answer.status !== 200 || answer.body !== body)
      faults.push(`an answer is not the upstream's: ${answer.status} ${answer.body}`);
  }
  if (answers.slice(0, -1).some(isLast)) faults.push('there is an answer behind the last one');
  if (said.rest !== '') faults.push(`bytes behind the last answer: ${JSON.stringify(said.rest)}`);
  const rest = world.recorder.rest();
  if (rest !== '') faults.push(`the upstream got what is no request: ${JSON.stringify(rest)}`);
  return faults;
}

/** What came of it, in the words of the table. The log must hold all records of it by now. */
export function describeTrial(
  world: World,
  { name, restore }: DoorCase,
  { said, arrivals, from }: Trial,
): Omit<Expectation, 'area'> {
  const records = world.gateway.lines
    .flatMap((line) => requestLine(line) ?? [])
    .filter(({ peer, path }) => peer.address === from && path !== '/probe');
  const final = said.answers.filter(({ status }) => status >= 200);
  const answers = final.filter((one) => !isProbe(world, one));
  const words = answers.map((answer) => {
    const record = records.find(({ id }) => id === idOf(answer));
    return `${answer.status}${described(record, answer.status)}`;
  });
  const unanswered = records.filter(({ id }) => !answers.some((answer) => idOf(answer) === id));
  words.push(...unanswered.map((record) => `unanswered${described(record, undefined)}`));
  const last = final.at(-1);
  if (last !== undefined && isProbe(world, last)) words.push('kept');
  else words.push(last !== undefined && isLast(last) ? 'closed' : 'cut');
  const seen = arrivals.filter(({ target }) => target !== '/probe' && target !== '/after').map(handedOf);
  return { name, sender: words.join(', '), upstream: seen.map((one) => restore(describeHanded(one))) };
}

function described(record: RequestLine | undefined, status: number | undefined): string {
  if (record === undefined || record.status !== status) return ' NOT RECORDED';
  if (record.reason !== undefined) return ` ${record.reason}`;
  return record.outcome === 'delivered' ? '' : ` ${record.outcome}`;
}

/** `ROUTE: METHOD TARGET, host HOST, [name: value] …, "body"`; what is long by its beginning, length and hash. */
export function describeHanded({ route, method, target, host, fields, body }: Handed): string {
  const kept = pairs(fields).map(([name = '', value = '']) => `[${shown(name)}: ${shown(value)}]`);
  const list = kept.length > MOST_FIELDS ? shown(kept.join(' '), FIELDS_CHARACTERS) : kept.join(' ');
  const parts = [`${method} ${shown(target)}`, `host ${shown(host)}`, list, body && `"${shown(body)}"`];
  return `${route}: ${parts.filter((part) => part !== '').join(', ')}`;
}

const MOST_FIELDS = 20;
const FIELDS_CHARACTERS = 100;
const MOST_CHARACTERS = 300;

function shown(text: string, most = MOST_CHARACTERS): string {
  const visible = JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\x7f-\xff]/g, (one) => `\\x${one.charCodeAt(0).toString(16)}`);
  if (text.length <= most) return visible;
  const digest = createHash('sha256').update(text, 'latin1').digest('hex').slice(0, 16);
  return `${visible.slice(0, 20)}… ${text.length} B, sha256 ${digest}`;
}
