/** One request as the bytes of a connection say it, with what is needed to judge it. */
export interface Request {
  readonly method: string;
  readonly target: string;
  readonly host: string;
  /** Name, value, name, value …, names in lower case; without those that nobody may spell with `_` or `.`. */
  readonly fields: readonly string[];
  /** `undefined`: chunked. */
  readonly length: number | undefined;
  readonly expects: boolean;
  readonly closes: boolean;
}

/** A body as far as it is there. */
export interface Body {
  readonly content: string;
  readonly state: 'whole' | 'unfinished' | 'malformed';
  /** Where the next request begins; only of a whole body. */
  readonly end: number;
}

const METHODS = 'GET HEAD POST PUT DELETE PATCH OPTIONS CONNECT TRACE'.split(' ');
const ONCE =
  'host content-length transfer-encoding content-type content-encoding content-range expect upgrade user-agent referer from date max-forwards proxy-authorization if-modified-since if-unmodified-since'.split(
    ' ',
  );
const MOST_HEAD = 16 * 1024;
const MOST_FIELDS = 100;

/**
 * The next head of a stream (latin1), by the rules as the documentation gives them, written a second time and simply:
 * what the gateway makes of the same bytes is compared with it.
 */
export function readHead(text: string): { request: Request; end: number } | 'malformed' | 'unfinished' {
  const end = text.indexOf('\r\n\r\n') + 4;
  if (end < 4) return text.length > MOST_HEAD ? 'malformed' : 'unfinished';
  if (end > MOST_HEAD) return 'malformed';
  const [line = '', ...lines] = text.slice(0, end - 4).split('\r\n');
  const [method = '', target = '', version, ...more] = line.split(' ');
  if (!METHODS.includes(method) || target === '' || /[\r\n]/.test(target)) return 'malformed';
  if (version !== 'HTTP/1.1' || more.length > 0 || lines.length > MOST_FIELDS) return 'malformed';
  const fields: string[] = [];
  for (const one of lines) {
    const colon = one.indexOf(':');
    const name = one.slice(0, Math.max(colon, 0)).toLowerCase();
    const raw = one.slice(colon + 1);
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || /[^\t\x20-\x7e\x80-\xff]/.test(raw)) return 'malformed';
    if (name === 'transfer-encoding' && raw.includes('\t')) return 'malformed';
    if (!/[_.]/.test(name)) fields.push(name, raw.replace(/^[ \t]+|[ \t]+$/g, ''));
  }
  const all = (name: string): string[] => fields.filter((_, at) => at % 2 === 1 && fields[at - 1] === name);
  if (ONCE.some((name) => all(name).length > 1)) return 'malformed';
  const options = all('connection').flatMap((value) => value.toLowerCase().split(','));
  const named = options.map((option) => option.replace(/^[ \t]+|[ \t]+$/g, ''));
  if (named.some((option) => !['', 'close', 'keep-alive', 'te', 'upgrade'].includes(option)))
    return 'malformed';
  const [[host], [length], [coding], [expect]] = [
    all('host'),
    all('content-length'),
    all('transfer-encoding'),
    all('expect'),
  ];
  if (host === undefined || !isHost(host)) return 'malformed';
  if (length !== undefined && (coding !== undefined || !/^[0-9]{1,15}$/.test(length))) return 'malformed';
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 'malformed';
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') return 'malformed';
  const bytes = coding === undefined ? Number(length ?? 0) : undefined;
  const request: Request = {
    method,
    target,
    host,
    fields,
    length: bytes,
    expects: expect !== undefined && bytes !== 0,
    closes: named.includes('close') || method === 'CONNECT',
  };
  return { request, end };
}

function isHost(host: string): boolean {
  const name = host.replace(/:[0-9]{1,5}$/, '');
  if (/^\[[0-9A-Fa-f:.]+\]$/.test(name)) return true;
  const labels = name.split('.');
  if (labels.length > 1 && labels.at(-1) === '') labels.pop();
  return labels.every((label) => /^[A-Za-z0-9_-]+$/.test(label));
}

/** The body that begins at the start of the text. */
export function readBody(text: string, length: number | undefined): Body {
  if (length !== undefined) {
    const state = text.length < length ? 'unfinished' : 'whole';
    return { content: text.slice(0, length), state, end: length };
  }
  let content = '';
  for (let at = 0; ; ) {
    const [line, digits] = /^([0-9A-Fa-f]{1,8})\r\n/.exec(text.slice(at, at + 10)) ?? [];
    if (line === undefined || digits === undefined) {
      const state = /^(?:[0-9A-Fa-f]{1,8}\r?)?$/.test(text.slice(at)) ? 'unfinished' : 'malformed';
      return { content, state, end: at };
    }
    const size = Number.parseInt(digits, 16);
    const data = at + line.length;
    content += text.slice(data, data + size);
    at = data + size + 2;
    const behind = text.slice(data + size, at);
    if (behind !== '\r\n')
      return { content, state: '\r\n'.startsWith(behind) ? 'unfinished' : 'malformed', end: at };
    if (size === 0) return { content, state: 'whole', end: at };
  }
}
