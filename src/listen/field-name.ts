/** A field's name as it goes on. */
export interface FieldName {
  /** In lower case (RFC 9110 section 5.1). */
  readonly name: string;
  /** A second one would contradict the first. */
  readonly single: boolean;
  /** Some servers read `_` and `.` as `-`, as CGI does (RFC 3875 section 4.1.18): nobody may spell a name that way. */
  readonly dropped: boolean;
}

/**
 * RFC 9110 section 5.3: a field that is no list comes once (Host: RFC 9112 section 3.2; Content-Length: RFC 9110
 * section 8.6). Transfer-Encoding, Content-Encoding, Expect and Upgrade are lists, and once is our own rule: nothing a
 * webhook carries needs two. Authorization has a refusal of its own.
 */
const SINGLE = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'expect',
  'upgrade',
  'user-agent',
  'referer',
  'from',
  'date',
  'max-forwards',
  'proxy-authorization',
  'if-modified-since',
  'if-unmodified-since',
]);

const OFTEN_SENT = [
  'accept',
  'accept-encoding',
  'authorization',
  'connection',
  'svix-id',
  'svix-signature',
  'svix-timestamp',
  'traceparent',
  'webhook-id',
  'webhook-signature',
  'webhook-timestamp',
];

/**
 * By the spellings that senders use. The name that goes on is then always the same string, and comparing it costs no
 * look at its characters.
 */
const KNOWN = new Map<string, FieldName>();
for (const name of [...SINGLE, ...OFTEN_SENT]) {
  const known = describe(name);
  KNOWN.set(name, known);
  KNOWN.set(inTitleCase(name), known);
}

/** @param spelled a token, as it was sent */
export function fieldName(spelled: string): FieldName {
  const known = KNOWN.get(spelled);
  if (known !== undefined) return known;
  const name = spelled.toLowerCase();
  return KNOWN.get(name) ?? describe(name);
}

function describe(name: string): FieldName {
  return { name, single: SINGLE.has(name), dropped: name.includes('_') || name.includes('.') };
}

function inTitleCase(name: string): string {
  return name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
}
