import { isDeepStrictEqual } from 'node:util';
import { openOracle } from '../front/oracle.ts';
import { defaults } from '../support/ca.ts';
import { type Conversation, converse, newAddress } from './converse.ts';
import { fill } from './corpus.ts';
import type { Speech } from './generate.ts';
import { type Prediction, predict } from './model.ts';
import { type Arrival, valuesOf } from './recorder.ts';
import { bytesFor } from './upstream-view.ts';
import type { World } from './world.ts';

/** What a run has done so far. */
export interface DoorTally {
  /** Runs of one to three senders at once. */
  runs: number;
  /** Requests that were answered, and those of them that the upstream saw. */
  answered: number;
  delivered: number;
}

export interface SayOptions {
  readonly tally?: DoorTally;
  /** What is sent in place of the bytes: for the proof that a gateway which is too lenient is found out. */
  readonly soften?: (text: string) => string;
}

/** What one sender said, what must come of it, and what did. */
interface Said {
  readonly from: string;
  readonly prediction: Prediction;
  readonly conversation: Conversation;
}

let runs = 0;

/** Has all senders speak at once, and tells the first thing that is not as the model says; `undefined`: all is. */
export async function differenceOf(
  world: World,
  speeches: readonly Speech[],
  options: SayOptions = {},
): Promise<string | undefined> {
  try {
    return await differenceIn(world, speeches, options);
  } catch (error) {
    // An answer that does not come, or a connection that is not accepted, is a difference like any other.
    return String(error);
  }
}

async function differenceIn(
  world: World,
  speeches: readonly Speech[],
  { tally, soften = (text) => text }: SayOptions,
): Promise<string | undefined> {
  const { recorder, gateway } = world;
  const first = recorder.arrivals.length;
  const said = await Promise.all(
    speeches.map(async ({ text, cuts }): Promise<Said> => {
      runs += 1;
      const bytes = fill('', text, String(runs).padStart(9, '0')).bytes.toString('latin1');
      const from = newAddress();
      const pieces = piecesOf(Buffer.from(soften(bytes), 'latin1'), cuts);
      const conversation = await converse(gateway, { pieces, from, closes: true }, () => false);
      return { from, prediction: predict(bytes), conversation };
    }),
  );
  const arrivals = recorder.arrivals.slice(first);
  const known = new Set<Arrival>();
  for (const one of said) {
    const own = arrivals.filter(({ fields }) => valuesOf(fields, 'x-forwarded-for').join() === one.from);
    const difference = await compare(world, one, own);
    if (difference !== undefined)
      return `${difference}, where the model says ${JSON.stringify(one.prediction)}`;
    for (const arrival of own) known.add(arrival);
  }
  if (known.size < arrivals.length)
    return `the upstream got what none of them sent: ${JSON.stringify(arrivals.filter((one) => !known.has(one)))}`;
  if (recorder.rest() !== '')
    return `the upstream got what is no request: ${JSON.stringify(recorder.rest())}`;
  if (tally !== undefined) {
    tally.runs += 1;
    tally.answered += said.reduce((sum, { prediction }) => sum + prediction.statuses.length, 0);
    tally.delivered += known.size;
  }
  return misreadBy(arrivals);
}

/** @param own what the upstream got in this sender's name */
async function compare(
  world: World,
  { from, prediction, conversation }: Said,
  own: readonly Arrival[],
): Promise<string | undefined> {
  const answers = conversation.answers.filter(({ status }) => status >= 200);
  const wanted = [...prediction.statuses];
  if (prediction.maybeMalformed && answers.length === wanted.length + 1) wanted.push(400);
  const statuses = answers.map(({ status }) => status).join(' ');
  if (statuses !== wanted.join(' ')) return `the answers are [${statuses}]`;
  if (conversation.rest !== '') return `there are bytes behind the last answer: ${conversation.rest}`;
  const { authority, arrivals } = world.recorder;
  const certificate = (await defaults()).client.leaf.raw;
  const left = [...own];
  for (const [place, { fields, body }] of answers.entries()) {
    const handed = prediction.handed[place];
    const seen = valuesOf(fields, 'x-seen').join();
    if (handed === undefined && seen !== '') return `answer ${place} is the upstream's`;
    if (handed === undefined) continue;
    const arrival = left.shift();
    if (arrival === undefined || arrivals[Number(seen)] !== arrival)
      return `answer ${place} is not the upstream's to this request`;
    const id = valuesOf(fields, 'x-request-id').join();
    const bytes = bytesFor(handed, { from, authority, id, certificate });
    if (arrival.raw !== bytes)
      return `the upstream got ${JSON.stringify(arrival.raw)}, not ${JSON.stringify(bytes)}`;
    if (body !== (handed.method === 'HEAD' ? '' : `seen ${seen}`))
      return `answer ${place} has the body ${body}`;
  }
  return left.length === 0 ? undefined : `the upstream got more than was answered: ${JSON.stringify(left)}`;
}

/** node:http's parser must read what the upstream got as the requests that were let in. */
function misreadBy(arrivals: readonly Arrival[]): string | undefined {
  for (let at = 0; at < arrivals.length; ) {
    // Behind a request that ends its connection the parser takes no other.
    const isLast = ({ fields }: Arrival): boolean => valuesOf(fields, 'connection')[0] === 'close';
    const last = arrivals.findIndex((one, place) => place >= at && isLast(one));
    const end = last < 0 ? arrivals.length : last + 1;
    const difference = misreadAtOnce(arrivals.slice(at, end));
    if (difference !== undefined) return difference;
    at = end;
  }
  return undefined;
}

function misreadAtOnce(arrivals: readonly Arrival[]): string | undefined {
  const oracle = openOracle();
  try {
    oracle.feed(Buffer.from(arrivals.map(({ raw }) => raw).join(''), 'latin1'));
    const complaint = oracle.complaint();
    if (complaint !== undefined) return `llhttp refuses what the upstream got: ${complaint}`;
    const sent = arrivals.map(({ method, target, fields, body }) => ({ method, target, fields, body }));
    const read = oracle.readings();
    return isDeepStrictEqual(read, sent) ? undefined : `llhttp reads it otherwise: ${JSON.stringify(read)}`;
  } finally {
    oracle.close();
  }
}

function piecesOf(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b);
  const pieces = [...places, bytes.length].map((end, at) => bytes.subarray(places[at - 1] ?? 0, end));
  return pieces.filter(({ length }) => length > 0);
}
