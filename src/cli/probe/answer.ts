/** What is taken of an answer: its status line and the few fields that a sender reads. */
export interface AnswerHead {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly delivery: string | undefined;
  /** The receiver's own clock. */
  readonly date: string | undefined;
}

/** A head longer than this, or with more answers before the final one, is taken for an endless one. */
const MOST_HEAD_BYTES = 16_384;
const MOST_INTERIM = 8;

const STATUS_LINE = /^HTTP\/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?$/;

/**
 * The final answer's head (RFC 9112, section 4), `undefined` while it is not whole, or in words why it is none.
 * Answers with a 1xx before it are passed over, but for 101: nothing asked for another protocol.
 */
export function readAnswerHead(bytes: Buffer): AnswerHead | string | undefined {
  let at = 0;
  for (let interim = 0; interim <= MOST_INTERIM; interim++) {
    if (!beginsAsHttp(bytes.subarray(at))) return `no HTTP: ${shown(bytes.subarray(at))}`;
    const text = bytes.toString('latin1', at, at + MOST_HEAD_BYTES);
    const end = /\r?\n\r?\n/.exec(text);
    if (!end) return text.length < MOST_HEAD_BYTES ? undefined : 'a head without end';
    const [first = '', ...lines] = text.slice(0, end.index).split(/\r?\n/);
    const status = Number(STATUS_LINE.exec(first)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) return `no HTTP: ${shown(bytes.subarray(at))}`;
    if (status >= 200 || status === 101) {
      const [retryAfter, delivery, date] = ['retry-after', 'webhook-delivery', 'date'].map((name) =>
        field(lines, name),
      );
      return { status, retryAfter, delivery, date };
    }
    at += end.index + end[0].length;
  }
  return 'no end of 1xx answers';
}

function beginsAsHttp(bytes: Buffer): boolean {
  return 'HTTP/1.'.startsWith(bytes.toString('latin1', 0, 7));
}

/** What came instead, so that no terminal takes it for orders: printable ASCII alone, and little of it. */
function shown(bytes: Buffer): string {
  return JSON.stringify(bytes.toString('latin1', 0, 24).replaceAll(/[^\x20-\x7e]/g, '?'));
}

function field(lines: readonly string[], name: string): string | undefined {
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1, colon + 100).trim();
  }
  return undefined;
}
