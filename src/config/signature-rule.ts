import type {
  ContentPiece,
  EventIdRule,
  HmacRule,
  PublicKeyRule,
  SignatureRule,
  SignatureScheme,
  TimestampRule,
} from '../signature-settings.ts';
import type { Path } from './document.ts';
import type { Partly } from './issues.ts';
import type { Report } from './problems.ts';
import { isPlace, readContent } from './signature-content.ts';
import type { DeclaredInput } from './signature-schema.ts';

export const DEFAULT_TOLERANCE_MS = 5 * 60_000;

type Key = keyof DeclaredInput;

const SIGNED: readonly Key[] = [
  'header',
  'algorithm',
  'encoding',
  'prefix',
  'separator',
  'content',
  'timestamp',
  'tolerance',
  'id',
  'body_hash',
];

/** The keys of each scheme; any other has no effect there, so it is refused. */
const KEYS: Readonly<Record<SignatureScheme, readonly Key[]>> = {
  'standard-webhooks': ['headers', 'tolerance'],
  hmac: [...SIGNED, 'secret_encoding'],
  'public-key': SIGNED,
  token: ['header', 'id'],
};

const HMACS = ['sha256', 'sha1', 'sha512'] as const;
export const PUBLIC_KEYS = ['rsa-sha256', 'rsa-sha512', 'ed25519'] as const;

/**
 * The rule that a section declares, its keys judged together.
 * @param path where the section stands
 * @returns `undefined` when something is wrong with it: reported
 */
export function readRule(
  scheme: SignatureScheme,
  section: Partly<DeclaredInput>,
  path: Path,
  report: Report,
): SignatureRule | undefined {
  const { values } = section;
  let right = section.right(...KEYS[scheme]);
  const refuse = (key: string, sentence: string): void => {
    right = false;
    report.add([...path, ...key.split('.')], sentence);
  };
  for (const key of Object.keys(values) as Key[]) {
    const known = KEYS[scheme].includes(key) || !DECLARED_KEYS.has(key) || values[key] === undefined;
    if (!known) refuse(key, `is not a key of the scheme ${scheme}; remove it`);
  }
  if (scheme === 'standard-webhooks') {
    const toleranceMs = values.tolerance ?? DEFAULT_TOLERANCE_MS;
    return right ? { scheme, family: values.headers ?? 'webhook', toleranceMs } : undefined;
  }
  if (values.header === undefined && section.right('header'))
    refuse(
      'header',
      `is missing; give the header that holds the ${scheme === 'token' ? 'token' : 'signature'}`,
    );
  if (scheme === 'token') {
    const id = tokenId(values, refuse);
    return right && values.header !== undefined ? { scheme, header: values.header, id } : undefined;
  }
  const content = readContent(values.content ?? '{body}');
  if ('wrong' in content) refuse('content', content.wrong);
  const pieces = 'wrong' in content ? undefined : content;
  const timestamp = values.timestamp && readTimestamp(values, refuse);
  const id = readId(values.id, refuse);
  if (pieces !== undefined && section.right('content', 'timestamp', 'id', 'body_hash'))
    checkContent(pieces, values, { timestamp, id }, refuse);
  checkNames(values, { timestamp, id }, refuse);
  const { header } = values;
  const common = {
    prefix: values.prefix ?? '',
    separator: values.separator,
    content: pieces ?? [],
    timestamp,
    toleranceMs: values.tolerance ?? DEFAULT_TOLERANCE_MS,
    id,
    bodyHash: values.body_hash,
    origin: undefined,
  };
  if (values.tolerance !== undefined && timestamp === undefined && section.right('timestamp'))
    refuse('tolerance', 'has no effect without a timestamp; add timestamp, or remove it');
  if (!section.right('algorithm', 'encoding')) return undefined;
  const mathematics = scheme === 'hmac' ? readHmac(values, refuse) : readPublicKey(values, refuse);
  if (!right || header === undefined || mathematics === undefined) return undefined;
  return { ...mathematics, header, ...common };
}

export const DECLARED_KEYS: ReadonlySet<string> = new Set(['headers', ...SIGNED, 'secret_encoding']);

type Refuse = (key: string, sentence: string) => void;
interface Places {
  readonly timestamp: TimestampRule | undefined;
  readonly id: EventIdRule;
}

function tokenId({ id }: DeclaredInput, refuse: Refuse): string | undefined {
  if (id === undefined || id === 'none') return undefined;
  if (typeof id === 'object' && id.header !== undefined && id.body === undefined) return id.header;
  refuse('id', 'a token vouches for no content; give the header that names the event, or remove id');
  return undefined;
}

function readTimestamp({ timestamp, separator }: DeclaredInput, refuse: Refuse): TimestampRule | undefined {
  const { header, element, body, unit } = timestamp as NonNullable<DeclaredInput['timestamp']>;
  const unitMs = unit === 'ms' ? 1 : 1000;
  const places: TimestampRule[] = [];
  if (header !== undefined) places.push({ unitMs, header });
  if (element !== undefined) places.push({ unitMs, element });
  if (body !== undefined) places.push({ unitMs, body });
  const [only] = places;
  if (places.length !== 1) {
    const many = places.length === 0 ? 'no place' : 'more than one place';
    refuse('timestamp', `names ${many}; give one of header, element and body`);
  } else if (element !== undefined && separator === undefined) {
    refuse(
      'timestamp.element',
      'is an element of a list, and nothing says what stands between them; add separator',
    );
  }
  return only;
}

function readId(id: DeclaredInput['id'], refuse: Refuse): EventIdRule {
  if (id === undefined || typeof id === 'string') return { from: id ?? 'content' };
  if (id.header !== undefined && id.body === undefined) return { from: 'header', name: id.header };
  if (id.body !== undefined && id.header === undefined) return { from: 'body', path: id.body };
  refuse('id', `names ${id.header === undefined ? 'no place' : 'two places'}; give header or body`);
  return { from: 'content' };
}

/** What a signature does not cover, whoever replays a message can change. */
function checkContent(
  content: readonly ContentPiece[],
  values: DeclaredInput,
  { timestamp, id }: Places,
  refuse: Refuse,
): void {
  const holds = (place: string): boolean => content.some((piece) => isPlace(piece, place));
  const timeInField = timestamp !== undefined && !('body' in timestamp);
  if (holds('timestamp') && !timeInField)
    refuse(
      'content',
      'holds {timestamp}, and nothing says where that stands; add timestamp with header or element',
    );
  if (timeInField && !holds('timestamp'))
    refuse(
      'timestamp',
      'is not signed, so whoever replays a message would write a new one; put {timestamp} into content',
    );
  if (holds('id') && id.from !== 'header')
    refuse('content', 'holds {id}, and nothing says where that stands; add id with header');
  if (id.from === 'header' && !holds('id')) {
    refuse(
      'id',
      'is a header that is not signed, so whoever replays a message would write a new one; put {id} into content, or leave id out: then a digest of what is signed is the id',
    );
  }
  if (values.body_hash !== undefined && !(holds('form') && holds('url')))
    refuse(
      'body_hash',
      'stands in the URL of a message that is no form; put {url}{form} into content, or remove it',
    );
  if (values.encoding === 'jws' && !(content.length === 1 && holds('body')))
    refuse('content', 'a JWS signs the body alone; remove content');
}

/** One header cannot be two things. */
function checkNames({ header }: DeclaredInput, { timestamp, id }: Places, refuse: Refuse): void {
  const time = timestamp !== undefined && 'header' in timestamp ? timestamp.header : undefined;
  const name = id.from === 'header' ? id.name : undefined;
  if (time !== undefined && time === header)
    refuse('timestamp.header', 'is the header of the signature; write element');
  if (name !== undefined && (name === header || name === time))
    refuse('id.header', 'is the header of something else already');
}

function readHmac(
  values: DeclaredInput,
  refuse: Refuse,
): Pick<HmacRule, 'scheme' | 'algorithm' | 'encoding' | 'secretEncoding'> | undefined {
  const { encoding = 'hex' } = values;
  const algorithm = HMACS.find((known) => known === (values.algorithm ?? 'sha256'));
  if (algorithm === undefined) refuse('algorithm', `is not one of hmac; write ${HMACS.join(', ')}`);
  if (encoding === 'jws') refuse('encoding', 'jws is not one of hmac; write hex, base64 or base64url');
  if (algorithm === undefined || encoding === 'jws') return undefined;
  return { scheme: 'hmac', algorithm, encoding, secretEncoding: values.secret_encoding ?? 'text' };
}

function readPublicKey(
  values: DeclaredInput,
  refuse: Refuse,
): Pick<PublicKeyRule, 'scheme' | 'algorithm' | 'encoding'> | undefined {
  const algorithm = PUBLIC_KEYS.find((known) => known === values.algorithm);
  if (algorithm !== undefined)
    return { scheme: 'public-key', algorithm, encoding: values.encoding ?? 'base64' };
  const wrong = values.algorithm === undefined ? 'is missing; give' : 'is not one of public-key; write';
  refuse('algorithm', `${wrong} ${PUBLIC_KEYS.join(', ')}`);
  return undefined;
}
