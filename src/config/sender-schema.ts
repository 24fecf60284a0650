import { addressEntry } from './addresses.ts';
import { either, list, section } from './issues.ts';
import { readSenderField } from './names.ts';
import { method } from './route-schema.ts';
import { declaredSchema, keyPath } from './signature-schema.ts';
import { duration, flag, integer, scalar, text, word } from './values.ts';

const status = () => integer('an HTTP status', 100, 599);

const RETRIES = 'none, or a mapping with statuses and schedule';

/** A sender profile: one file of the folder `senders`. */
export const senderSchema = section(
  {
    title: text('a title such as Codat events').describe('What the sender is called.'),
    documentation: text('the address of its documentation').describe(
      "Where the sender's behaviour is documented.",
    ),
    addresses: list(
      addressEntry('an address such as 10.1.2.3, or a network such as 10.0.0.0/8'),
      'a list of addresses',
    )
      .optional()
      .describe('The addresses it sends from; left out where they are not published.'),
    methods: list(method(), 'a list of methods such as [POST]').describe('The methods it uses.'),
    client_certificate: flag().prefault(true).describe('Whether it can present a client certificate.'),
    signature: declaredSchema.optional().describe('How it signs; left out where it does not.'),
    deadline: duration().optional().describe('How long it waits for an answer.'),
    retries: either(
      [
        word(['none'], RETRIES),
        section(
          {
            statuses: either(
              [word(['not-2xx'], 'not-2xx, or a list of statuses'), list(status(), 'a list of statuses')],
              'not-2xx, or a list of statuses',
            ).describe('The statuses after which it tries again.'),
            schedule: list(duration(), 'a list of durations such as [5s, 5m]')
              .optional()
              .describe('The pauses between its attempts; left out where they are not published.'),
          },
          RETRIES,
        ),
      ],
      RETRIES,
    ).describe('When it tries again; none: never.'),
    redirects: word(['failed', 'followed']).prefault('failed').describe('What it does with a redirect.'),
    disabled_by: list(status(), 'a list of statuses such as [410]')
      .optional()
      .describe('Statuses on which it switches the endpoint off.'),
    event: section(
      {
        type: list(keyPath(), 'a list of key paths')
          .optional()
          .describe("Where the event's type stands; the first that is there counts."),
        tags: list(keyPath(), 'a list of key paths').optional().describe("Where the event's tags stand."),
        company: list(keyPath(), 'a list of key paths')
          .optional()
          .describe('Where the id of the company stands that the event is about.'),
      },
      'a mapping with type, tags and company',
    )
      .prefault({})
      .describe('Where things stand in the message.'),
    client_header: scalar<string>({ expected: 'a header name', read: readSenderField })
      .optional()
      .describe("The header that names the sender's client."),
  },
  'a sender profile: a mapping with title, documentation, methods and retries',
);
