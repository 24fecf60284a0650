import type { Duplex } from 'node:stream';
import { waitFor } from './wait.ts';

/** An answer as it came over the wire. */
export interface Answer {
  readonly status: number;
  /** As sent: name, value, name, value … */
  readonly rawHeaders: readonly string[];
  /** The value of a header; throws when it is repeated. */
  header(name: string): string | undefined;
  /** All values of a header, in order. */
  values(name: string): string[];
  readonly body: Buffer;
  /** The gateway's id of the request. */
  readonly id: string;
  /** `application/problem+json`, read; throws where the body is anything else. */
  problem(): unknown;
}

const LARGE_BYTES = 65_536;
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** Reads answers from a connection by RFC 9112 section 6.3; what does not fit is an error, never skipped. */
export class ResponseReader {
  #whole: Buffer = Buffer.alloc(0);
  #arrived: Buffer[] = [];
  #length = 0;
  /** No answer can be whole before so many bytes are there; spares joining them at every read. */
  #wanted = 0;
  #ended: string | undefined;
  readonly #interim: number[] = [];
  readonly #watchers = new Set<() => void>();

  constructor(stream: Duplex) {
    stream.on('data', (chunk: Buffer) => {
      this.#arrived.push(chunk);
      this.#length += chunk.length;
      if (chunk.length < 5 || chunk.subarray(-5).equals(LAST_CHUNK)) this.#wanted = 0;
      this.#look();
    });
    stream.on('error', (error: NodeJS.ErrnoException) => {
      this.#ended ??= error.code ?? error.message;
      this.#look();
    });
    stream.on('end', () => {
      this.#ended ??= 'end';
      this.#look();
    });
    stream.on('close', () => {
      this.#ended ??= 'close';
      this.#look();
    });
  }

  async next(toHead: boolean): Promise<Answer> {
    const found = await this.#wait(() => {
      const answer = this.#take(toHead);
      if (answer !== undefined) return answer;
      return this.#ended === undefined ? undefined : this.#ended;
    });
    if (typeof found === 'string')
      throw new Error(`connection ended (${found}) before a whole answer: ${this.#text()}`);
    return found;
  }

  async interim(): Promise<number> {
    return await this.#wait(() => {
      this.#takeInterim();
      return this.#interim.shift();
    });
  }

  /** Interim answers read so far and not asked for. */
  interims(): readonly number[] {
    this.#takeInterim();
    return this.#interim;
  }

  async closed(): Promise<string> {
    await this.#wait(() => this.#ended);
    return this.#text();
  }

  #wait<T>(find: () => T | undefined): Promise<T> {
    return waitFor(this.#watchers, find, () => `nothing more came after: ${this.#text().slice(0, 500)}`);
  }

  #look(): void {
    for (const look of [...this.#watchers]) look();
  }

  /** All that no answer took yet; joined only when looked at. */
  get #bytes(): Buffer {
    if (this.#arrived.length > 0) {
      this.#whole = Buffer.concat([this.#whole, ...this.#arrived]);
      this.#arrived = [];
    }
    return this.#whole;
  }

  #drop(count: number): void {
    this.#whole = this.#bytes.subarray(count);
    this.#length = this.#whole.length;
    this.#wanted = 0;
  }

  #text(): string {
    return this.#bytes.toString('latin1');
  }

  #takeInterim(): void {
    for (;;) {
      const end = this.#bytes.indexOf('\r\n\r\n');
      const status = /^HTTP\/1\.1 (1\d\d) /.exec(this.#bytes.toString('latin1', 0, 16));
      if (end < 0 || status === null) return;
      this.#interim.push(Number(status[1]));
      this.#drop(end + 4);
    }
  }

  #take(toHead: boolean): Answer | undefined {
    if (this.#length < this.#wanted) return undefined;
    this.#takeInterim();
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const [line = '', ...fields] = this.#bytes.toString('latin1', 0, end).split('\r\n');
    const status = /^HTTP\/1\.1 ([2-5]\d\d) [^\r\n]*$/.exec(line);
    if (status === null) throw new Error(`not a status line: ${line}`);
    const rawHeaders = fields.flatMap((field) => {
      const at = field.indexOf(':');
      if (at < 1) throw new Error(`not a header: ${field}`);
      return [field.slice(0, at), field.slice(at + 1).trim()];
    });
    const code = Number(status[1]);
    const empty = toHead || code === 204 || code === 304;
    const framed = empty ? { body: Buffer.alloc(0), next: end + 4 } : this.#body(rawHeaders, end + 4);
    if (framed === undefined) return undefined;
    this.#drop(framed.next);
    return makeAnswer(code, rawHeaders, framed.body);
  }

  #body(rawHeaders: readonly string[], start: number): { body: Buffer; next: number } | undefined {
    const length = single(rawHeaders, 'content-length');
    const encoding = single(rawHeaders, 'transfer-encoding');
    if (length !== undefined && encoding !== undefined)
      throw new Error('Content-Length beside Transfer-Encoding');
    if (length !== undefined) {
      const next = start + Number(length);
      this.#wanted = next;
      return this.#length < next ? undefined : { body: this.#bytes.subarray(start, next), next };
    }
    if (encoding === 'chunked') {
      const found = dechunk(this.#bytes, start);
      // Large ones are looked at again each time an eighth more has come, and whenever they may have ended.
      if (found === undefined && this.#length > LARGE_BYTES) this.#wanted = this.#length * 1.125;
      return found;
    }
    if (this.#ended !== 'end') return undefined;
    return { body: this.#bytes.subarray(start), next: this.#bytes.length };
  }
}

function dechunk(bytes: Buffer, start: number): { body: Buffer; next: number } | undefined {
  const parts: Buffer[] = [];
  for (let at = start; ; ) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.toString('latin1', at, line), 16);
    const next = line + 2 + size + 2;
    if (bytes.length < next) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), next };
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = next;
  }
}

function makeAnswer(status: number, rawHeaders: readonly string[], body: Buffer): Answer {
  return {
    status,
    rawHeaders,
    body,
    header: (name) => single(rawHeaders, name),
    values: (name) => valuesOf(rawHeaders, name),
    get id() {
      const id = single(rawHeaders, 'x-request-id');
      if (id === undefined) throw new Error('the answer has no x-request-id');
      return id;
    },
    problem() {
      const type = single(rawHeaders, 'content-type');
      if (type !== 'application/problem+json') throw new Error(`not a problem: ${type} ${body}`);
      return JSON.parse(body.toString());
    },
  };
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  return rawHeaders.filter((_, place) => place % 2 === 1 && rawHeaders[place - 1]?.toLowerCase() === name);
}

function single(rawHeaders: readonly string[], name: string): string | undefined {
  const values = valuesOf(rawHeaders, name);
  if (values.length > 1) throw new Error(`${name} is repeated`);
  return values[0];
}
