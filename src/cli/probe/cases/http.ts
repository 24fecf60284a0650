import { isDispatchedBySvix } from '../../send/rules.ts';
import { type Case, goodShot, lacksProof, lacksSecret, type Shot } from '../case.ts';
import { documentationOf } from '../documents.ts';
import { ANSWERED, type Expectation, REFUSED } from '../expect.ts';
import { type Message, without } from '../message.ts';
import { credentialsOf, makeEvent, makeMessage, type Stage } from '../stage.ts';

const LOOKED_AT: Expectation = { words: 'no 2xx', right: ['3xx', '4xx'], doubtful: ['2xx', '5xx', 'closed'] };
/** A breach of HTTP that Node's own server lets pass, and that opens no gate. */
const BAD_REQUEST: Expectation = {
  words: '400, or closed',
  right: ['4xx', 'closed'],
  doubtful: ['2xx', '5xx'],
};

/** Other ways to write a request, and requests to what lies beside the path. */
export function httpCases(stage: Stage): Case[] {
  const { url, profile } = stage;
  const one = (name: string, change: (message: Message) => Partial<Message>) => (): Shot[] => {
    const shot = goodShot(stage, name);
    return [{ ...shot, message: { ...shot.message, ...change(shot.message) } }];
  };
  const hosts = (message: Message, ...values: readonly string[]): Partial<Message> => ({
    fields: [...values.map((value) => ['Host', value] as const), ...without(message.fields, 'host')],
  });
  const method = profile.methods.includes('PUT')
    ? `${profile.name} sends PUT where its user chose it; a receiver that does not offer it says 405.`
    : 'A receiver that does not offer the method says 405.';

  return [
    {
      name: 'put',
      sent: 'a good event by PUT',
      expected: ANSWERED,
      why: method,
      source: profile.methods.includes('PUT') ? documentationOf(profile) : 'RFC 9110, section 15.5.6',
      make: one('put', () => ({ method: 'PUT' })),
    },
    {
      name: 'get',
      sent: 'a GET that proves nothing, without a body',
      expected: LOOKED_AT,
      why: 'Senders do not GET: a 2xx is harmless where it is a page for people, and not where it stands for an event.',
      make: () => {
        const { message, identity } = unproved(stage);
        return [{ identity, message: { ...message, method: 'GET', framing: 'none', body: Buffer.alloc(0) } }];
      },
    },
    {
      name: 'look-alike-paths',
      sent: 'events that prove nothing, to look-alikes of the path',
      expected: REFUSED,
      why: 'What one part reads as the guarded path and another as none is a way around the guard; and who takes every path loses the events of a mistyped one.',
      lacks: lacksProof(stage),
      order: 'each',
      make: () =>
        lookAlikes(url.pathname).map((path) => {
          const { message, identity } = unproved(stage);
          return { identity, label: path, message: { ...message, target: path + url.search } };
        }),
    },
    {
      name: 'absolute-target',
      sent: 'a good event, the whole URL as its target',
      expected: ANSWERED,
      why: 'Servers are to accept it, but no sender writes it, and a target with a host of its own beside Host is read in two ways.',
      source: 'RFC 9112, section 3.2.2',
      make: one('absolute-target', ({ target }) => ({ target: url.origin + target })),
    },
    {
      name: 'other-host',
      sent: 'a good event, for another host by its Host field',
      expected: ANSWERED,
      why: 'A receiver with one name need not look; one with many answers 404 or 421.',
      source: 'RFC 9110, section 7.4',
      make: one('other-host', (message) => hosts(message, 'probe.postern.invalid')),
    },
    {
      name: 'no-host',
      sent: 'a good event without a Host field',
      expected: BAD_REQUEST,
      why: 'A server must answer 400.',
      source: 'RFC 9112, section 3.2',
      make: one('no-host', (message) => hosts(message)),
    },
    {
      name: 'two-hosts',
      sent: 'a good event with two Host fields',
      expected: BAD_REQUEST,
      why: 'A server must answer 400: the parts behind it would choose different ones.',
      source: 'RFC 9112, section 3.2',
      make: one('two-hosts', (message) => hosts(message, url.host, 'probe.postern.invalid')),
    },
    {
      name: 'http-1.0',
      sent: 'a good event by HTTP/1.0',
      expected: ANSWERED,
      why: 'Senders speak HTTP/1.1; the older one may be answered or refused.',
      source: isDispatchedBySvix(profile) ? 'Svix, webhook_http_client.rs' : undefined,
      make: one('http-1.0', () => ({ version: '1.0' })),
    },
    ...credentialsOf(stage).flatMap((name) => credentialCases(stage, name, lacksSecret(stage) === undefined)),
  ];
}

/** A credential in a field of its own was given: so it must be needed, however well the event is signed. */
function credentialCases(stage: Stage, name: string, isSigned: boolean): Case[] {
  const event = isSigned ? 'a well signed event' : 'an event';
  const shared = {
    expected: REFUSED,
    why: 'It was given, so it is to be checked: what is never looked at protects nothing.',
    source: 'RFC 9110, section 15.5.2',
  };
  const change = (of: string, edit: (message: Message) => Message['fields']) => () => {
    const { message, identity } = goodShot(stage, of);
    return [{ identity, message: { ...message, fields: edit(message) } }];
  };
  return [
    {
      ...{ ...shared, name: `no-${name}`, sent: `${event} without ${name}` },
      make: change(`no-${name}`, ({ fields }) => without(fields, name)),
    },
    {
      ...{ ...shared, name: `wrong-${name}`, sent: `${event} with another ${name}` },
      make: change(`wrong-${name}`, ({ fields }) =>
        fields.map(([key, value]) => [key, key.toLowerCase() === name ? other(value) : value] as const),
      ),
    },
  ];
}

/** The same but for its last letter or digit: what is compared only in part would let it pass. */
function other(value: string): string {
  const basic = /^basic +(\S+)$/i.exec(value)?.[1];
  // In base64 the last letter can stand for nothing: it is the password that must be another.
  if (basic !== undefined) return `Basic ${btoa(other(atob(basic)))}`;
  const place = value.search(/[A-Za-z0-9][^A-Za-z0-9]*$/);
  if (place < 0) return `${value}x`;
  return value.slice(0, place) + (value[place] === 'A' ? 'B' : 'A') + value.slice(place + 1);
}

/** An event less all that proves who sends it, but for the certificate. */
function unproved(stage: Stage): Shot {
  const message = makeMessage(stage, makeEvent(stage, 'unproved').body, []);
  const fields = without(message.fields, ...credentialsOf(stage));
  return { message: { ...message, fields }, identity: stage.identity };
}

/** Spellings of a path that some readers take for it and some do not. */
export function lookAlikes(path: string): string[] {
  const rest = path.slice(1);
  const letter = /[A-Za-z]/.exec(rest);
  const encoded = letter && `%${rest.charCodeAt(letter.index).toString(16)}`;
  return [
    `/${path}`,
    `/.${path}`,
    `/%2e${path}`,
    `/probe/..${path}`,
    `${path};probe=1`,
    ...(rest === '' ? [] : [path.endsWith('/') ? path.slice(0, -1) : `${path}/`, `${path}%2f`, `${path}.`]),
    ...(letter && encoded
      ? [`/${rest.slice(0, letter.index)}${encoded}${rest.slice(letter.index + 1)}`, path.toUpperCase()]
      : []),
  ].filter((look) => look !== path && look !== '');
}
