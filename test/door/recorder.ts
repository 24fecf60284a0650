import { type RawConnection, startRawUpstream } from '../support/upstream.ts';

/** One request exactly as the upstream got it; all texts are latin1. */
export interface Arrival {
  readonly raw: string;
  readonly method: string;
  readonly target: string;
  /** Name, value, name, value …, as they came. */
  readonly fields: readonly string[];
  readonly body: string;
}

/** An upstream that takes nothing but plain requests, keeps every byte, and says in each answer which one it is to. */
export interface Recorder {
  readonly url: string;
  readonly authority: string;
  /** In the order in which they were complete; an answer's `x-seen` is a place here. */
  readonly arrivals: readonly Arrival[];
  /** What is no request, or not yet, on any connection. A connection takes nothing more after it. */
  rest(): string;
  /** All bytes of each connection, and the requests that they were taken for. */
  connections(): { readonly text: string; readonly arrivals: readonly Arrival[] }[];
  close(): Promise<void>;
}

/** RFC 9112 section 2.1, in the plainest form: anything else on this connection was put there by a sender. */
const HEAD = /^([A-Z]+) (\/[^\s#]*) HTTP\/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n]*\r\n)+)\r\n/;

/** The next request at the start of the text; `undefined`: there is none, or it is not whole. */
export function takeArrival(text: string): Arrival | undefined {
  const [head, method, target, lines] = HEAD.exec(text) ?? [];
  if (head === undefined || method === undefined || target === undefined || lines === undefined)
    return undefined;
  const fields = lines
    .slice(0, -2)
    .split('\r\n')
    .flatMap((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]);
  const lengths = valuesOf(fields, 'content-length');
  if (lengths.length > 1 || valuesOf(fields, 'transfer-encoding').length > 0) return undefined;
  const end = head.length + Number(lengths[0] ?? 0);
  if (!(text.length >= end)) return undefined;
  return { raw: text.slice(0, end), method, target, fields, body: text.slice(head.length, end) };
}

/** All values of a field by its name in lower case. */
export function valuesOf(fields: readonly string[], name: string): string[] {
  return fields.filter((_, place) => place % 2 === 1 && fields[place - 1] === name);
}

/** Fields by name and value. */
export function pairs(fields: readonly string[]): string[][] {
  return fields.flatMap((name, place) => (place % 2 === 0 ? [[name, fields[place + 1] as string]] : []));
}

/** Starts it on a free port of 127.0.0.1. */
export async function startRecorder(): Promise<Recorder> {
  const upstream = await startRawUpstream();
  const arrivals: Arrival[] = [];
  const all: { connection: RawConnection; arrivals: Arrival[]; rest: string }[] = [];
  upstream.handle((connection) => {
    const one = { connection, arrivals: [] as Arrival[], rest: '' };
    all.push(one);
    connection.socket.on('data', (chunk: Buffer) => {
      one.rest += chunk.toString('latin1');
      for (let next = takeArrival(one.rest); next !== undefined; next = takeArrival(one.rest)) {
        one.rest = one.rest.slice(next.raw.length);
        one.arrivals.push(next);
        connection.socket.write(answerTo(next, arrivals.push(next) - 1));
      }
    });
  });
  return {
    url: upstream.url,
    authority: new URL(upstream.url).host,
    arrivals,
    rest: () => all.map(({ rest }) => rest).join(''),
    connections: () => all.map((one) => ({ text: one.connection.text(), arrivals: one.arrivals })),
    close: upstream.close,
  };
}

/** An answer to HEAD has no length here, so that whoever reads the answers need not know the methods. */
function answerTo({ method }: Arrival, place: number): string {
  const body = `seen ${place}`;
  const head = `HTTP/1.1 200 OK\r\nx-seen: ${place}\r\n`;
  return method === 'HEAD' ? `${head}\r\n` : `${head}content-length: ${body.length}\r\n\r\n${body}`;
}
