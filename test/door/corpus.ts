import { createHmac } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readCorpus } from '../front/corpus.ts';
import { SECRET } from './world.ts';

/** What one sender sends on one connection. */
export interface DoorCase {
  /** The file's name without `.http`. */
  readonly name: string;
  readonly bytes: Buffer;
  /** Puts the placeholders back in a text, so that it is the same at every run. */
  readonly restore: (text: string) => string;
}

export const DOOR_FOLDER = fileURLToPath(new URL('../corpus/door/', import.meta.url));
const TABLE = fileURLToPath(new URL('../corpus/hostile.txt', import.meta.url));

/** The cases that the front alone can be asked, and those that need routes with checks: `corpus/front`, `corpus/door`. */
export function readDoorCorpus(): Map<string, DoorCase> {
  const front = readCorpus().map((one) => ({ ...one, restore: (text: string) => text }));
  const door = doorFiles().map(({ name, text }) => fill(name, text, '0'));
  return new Map([...front, ...door].map((one) => [one.name, one]));
}

/** `corpus/door`, as latin1 with the placeholders, in the order of the names. */
export function doorFiles(): { readonly name: string; readonly text: string }[] {
  return readdirSync(DOOR_FOLDER)
    .filter((file) => file.endsWith('.http'))
    .sort()
    .map((file) => ({ name: file.slice(0, -5), text: readFileSync(DOOR_FOLDER + file, 'latin1') }));
}

/** `{{time}}` is now, or so many seconds from now; `{{v1 ID BODY}}` signs that event, at `{{time}}`. */
const PLACEHOLDER = /\{\{(?:time([+-]\d+)?|v1 (\S+) (.*?))\}\}(?!\})/gs;

/**
 * Fills in what is another at every run.
 * @param text latin1
 * @param run what `{{run}}` stands for, so that an event sent again is a new one
 */
export function fill(name: string, text: string, run: string): DoorCase {
  const now = Math.floor(Date.now() / 1000);
  const filled = new Map<string, string>();
  const bytes = text.replaceAll('{{run}}', run).replace(PLACEHOLDER, (placeholder, shift, id, body) => {
    const value = id === undefined ? String(now + Number(shift ?? 0)) : sign(id, now, body);
    filled.set(value, placeholder);
    return value;
  });
  return {
    name,
    bytes: Buffer.from(bytes, 'latin1'),
    restore: (given) =>
      [...filled].reduce((changed, [value, placeholder]) => changed.replaceAll(value, placeholder), given),
  };
}

function sign(id: string, seconds: number, body: string): string {
  const key = Buffer.from(SECRET.slice('whsec_'.length), 'base64');
  const hmac = createHmac('sha256', key).update(`${id}.${seconds}.`, 'latin1').update(body, 'latin1');
  return `v1,${hmac.digest('base64')}`;
}

/** What must come of one case, as the table says. */
export interface Expectation {
  readonly area: string;
  readonly name: string;
  /** Each answer in order, by status and the recorded reason; then `kept`, `closed` or `cut`. */
  readonly sender: string;
  /** Each request that the upstream must see, in order. */
  readonly upstream: readonly string[];
}

/** Reads `corpus/hostile.txt`. Throws on a line that it does not understand, and on a case that stands there twice. */
export function readTable(): Expectation[] {
  const table: (Expectation & { upstream: string[] })[] = [];
  let area = '';
  for (const line of readFileSync(TABLE, 'utf8').split('\n')) {
    const [, heading] = /^\[(.+)\]$/.exec(line) ?? [];
    const [, name, sender] = /^([a-z0-9-]+): (.+)$/.exec(line) ?? [];
    const [, request] = /^ {2}> (.+)$/.exec(line) ?? [];
    if (heading !== undefined) area = heading;
    else if (name !== undefined && sender !== undefined) {
      if (table.some((one) => one.name === name)) throw new Error(`${name} stands twice in ${TABLE}`);
      table.push({ area, name, sender, upstream: [] });
    } else if (request !== undefined) table.at(-1)?.upstream.push(request);
    else if (line !== '' && !line.startsWith('#')) throw new Error(`${TABLE}: ${line}`);
  }
  return table;
}

/** Writes the table anew, under the same headings and in the same order. */
export function writeTable(table: readonly Expectation[]): void {
  let area = '';
  const [comment] = readFileSync(TABLE, 'utf8').split('\n\n', 1);
  const lines = table.flatMap((row) => {
    const heading = row.area === area ? [] : ['', `[${row.area}]`];
    area = row.area;
    return [...heading, `${row.name}: ${row.sender}`, ...row.upstream.map((one) => `  > ${one}`)];
  });
  writeFileSync(TABLE, `${[comment, ...lines].join('\n')}\n`);
}
