import { z } from 'zod';
import { readFieldValue, SECRET, scalar, type Wrong, wrong, wrongValue } from './values.ts';

/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/;

/** Fields of one connection or of the message's framing (RFC 9110 section 7.6.1, RFC 9112 section 6). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Fields that the gateway writes itself in every request to an upstream. */
const OWN_FIELD =
  /^(?:x-forwarded-.*|forwarded|x-real-ip|x-postern-.*|x-request-id|traceparent|client-cert(?:-.*)?)$/;

/** The name of a field that senders send, in lower case. */
export function readSenderField(name: string): string | Wrong {
  const field = readField(name);
  if (typeof field !== 'string') return field;
  // The gate takes no notice of such fields: `x_key` and `x-key` are one name to many services behind it.
  if (/[_.]/.test(field))
    return wrong(`a header name with _ or . never gets through the gate; have the sender use -`);
  return field;
}

function readField(name: string): string | Wrong {
  if (!TOKEN.test(name))
    return wrongValue(`${JSON.stringify(name)} is not a header name; write letters, digits and -`);
  const field = name.toLowerCase();
  if (CONNECTION_FIELDS.has(field))
    return wrongValue(
      `${field} belongs to the connection and cannot be set or required here; choose another header`,
    );
  return field;
}

/** The header that carries a credential. */
export function readCredentialField(name: string): string | Wrong {
  // The credential itself may stand here by mistake, so it is not quoted.
  if (!TOKEN.test(name)) return wrong('this is not a header name; write letters, digits and -');
  const field = readSenderField(name);
  if (field === 'authorization')
    return wrong('for the Authorization header write bearer or basic instead of header');
  return field;
}

/** A header added to what goes to an upstream. */
export function readUpstreamField(name: string): string | Wrong {
  const field = readField(name);
  if (typeof field !== 'string') return field;
  return OWN_FIELD.test(field)
    ? wrong(`${field} is written by the gateway itself; choose another header`)
    : field;
}

export interface Field {
  readonly name: string;
  readonly value: string;
  /** The name as it is written. */
  readonly key: string;
}

/** A mapping of header names to values, sorted by name. @param secret whether the values may not be shown */
export function fields(readName: (name: string) => string | Wrong, secret: boolean) {
  const expected = 'a mapping of header names to values';
  return z
    .unknown()
    .transform((input, context): readonly Field[] => {
      if (typeof input !== 'object' || input === null || Array.isArray(input)) {
        context.addIssue({ code: 'custom', params: { expected, secret, kind: true } });
        return z.NEVER;
      }
      const found = new Map<string, Field>();
      for (const [key, value] of Object.entries(input)) {
        const name = readName(key);
        if (typeof name !== 'string') {
          context.addIssue({ code: 'custom', message: name.wrong, path: [key], params: { at: 'key' } });
        } else if (found.has(name)) {
          const message =
            'this header is given twice (upper and lower case are one name); keep one of the two';
          context.addIssue({ code: 'custom', message, path: [key], params: { at: 'key' } });
        } else {
          const result = VALUES[secret ? 'secret' : 'open'].safeParse(value);
          for (const issue of result.error?.issues ?? [])
            context.addIssue({ ...issue, code: 'custom', path: [key] });
          found.set(name, { name, value: result.data ?? '', key });
        }
      }
      return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    })
    .meta({ type: 'object', additionalProperties: { type: 'string', ...(secret ? SECRET : {}) } });
}

const VALUES = {
  secret: scalar<string>({ expected: 'one line of text', secret: true, read: readFieldValue }),
  open: scalar<string>({ expected: 'one line of text', read: readFieldValue }),
};

/** The name of a route or an upstream. */
export const NAME = /^[a-zA-Z0-9][a-zA-Z0-9._-]*$/;

/** A DNS name in lower case, or why it is none. A name in a certificate and a Host are compared whole. */
export function readHostName(value: string): string | Wrong {
  if (value.includes('*'))
    return wrong('names are compared exactly, so * stands for nothing; write each name out');
  if (value.endsWith('.'))
    return wrongValue(`a name here has no dot at its end; write ${value.slice(0, -1).toLowerCase()}`);
  if (!/^[\w-]{1,63}(?:\.[\w-]{1,63})*$/.test(value)) return { wrong: '' };
  return value.toLowerCase();
}
