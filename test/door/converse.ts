import type { ConnectionOptions } from 'node:tls';
import type { Gateway } from '../support/gateway.ts';
import { connect } from '../support/sender.ts';
import { waitFor } from '../support/wait.ts';
import { valuesOf } from './recorder.ts';

/** One answer as the sender got it; an interim one has no fields. */
export interface Received {
  readonly status: number;
  /** Names in lower case. */
  readonly fields: readonly string[];
  readonly body: string;
}

/** All that came back on one connection. */
export interface Conversation {
  readonly answers: readonly Received[];
  /** Bytes behind the last whole answer. */
  readonly rest: string;
  /** Whether the gateway has ended the connection. */
  readonly ended: boolean;
}

export interface Saying {
  /** Each is a TLS record of its own. */
  readonly pieces: readonly Buffer[];
  /** The address to come from. */
  readonly from: string;
  /** The sender closes its side after the last piece. */
  readonly closes?: boolean;
}

/** Node's client closes its side by itself unless it is told not to. */
const STAYS = { allowHalfOpen: true } as ConnectionOptions;

let addresses = 0;

/** A loopback address that nobody else has: the gateway's X-Forwarded-For tells whose request it was. */
export function newAddress(): string {
  addresses += 1;
  return `127.${64 + ((addresses >> 16) & 63)}.${(addresses >> 8) & 255}.${addresses & 255}`;
}

/**
 * Says its piece on a connection of its own and listens until the gateway ends it, or what came is enough. A reset is
 * an end: what was received before it counts.
 * @throws Error where nothing more comes for 12 s
 */
export async function converse(
  gateway: Gateway,
  { pieces, from, closes = false }: Saying,
  isEnough: (answers: readonly Received[]) => boolean,
): Promise<Conversation> {
  const { socket } = await connect(gateway, { from, tls: STAYS });
  socket.setNoDelay(true);
  const watchers = new Set<() => void>();
  const look = (): void => {
    for (const one of [...watchers]) one();
  };
  let text = '';
  let answers: Received[] = [];
  let ended = false;
  const end = (): void => {
    ended = true;
    look();
  };
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    const read = readAnswers(text);
    text = read.rest;
    answers = [...answers, ...read.answers];
    look();
  });
  for (const event of ['end', 'error', 'close']) socket.on(event, end);
  for (const piece of pieces) {
    // Writes that wait for one another are not joined; a gateway that has closed takes no more.
    await new Promise((resolve) => (socket.destroyed ? resolve(undefined) : socket.write(piece, resolve)));
  }
  if (closes) socket.end();
  await waitFor(
    watchers,
    () => ended || isEnough(answers) || undefined,
    () => `nothing more came behind ${JSON.stringify(answers)} ${JSON.stringify(text)}`,
  );
  socket.destroy();
  return { answers, rest: text, ended };
}

const HEAD = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]*\r\n)*?)\r\n/;

/** Whole answers at the start of the text: each has a length, or no body. */
function readAnswers(text: string): { answers: Received[]; rest: string } {
  const answers: Received[] = [];
  let rest = text;
  for (;;) {
    const [head, status, lines] = HEAD.exec(rest) ?? [];
    if (head === undefined || lines === undefined) return { answers, rest };
    const fields = lines
      .split('\r\n')
      .slice(0, -1)
      .flatMap((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]);
    const end = head.length + Number(valuesOf(fields, 'content-length')[0] ?? 0);
    if (rest.length < end) return { answers, rest };
    answers.push({ status: Number(status), fields, body: rest.slice(head.length, end) });
    rest = rest.slice(end);
  }
}
