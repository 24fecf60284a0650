const MOST_FIELDS = 1000;
const FORM_TYPE = /^application\/x-www-form-urlencoded(?:\s*;|$)/i;
const ENCODED = /^[\x21-\x7e]*$/;

/** Whether a Content-Type is that of an HTML form. */
export function isForm(contentType: string | undefined): boolean {
  return contentType !== undefined && FORM_TYPE.test(contentType);
}

/**
 * The fields of a form as Twilio signs them (https://www.twilio.com/docs/usage/security): decoded, sorted by name, name and
 * value one behind the other; of a name that comes more than once, each value once, sorted.
 *
 * Nothing stands between them: `a=bc` and `ab=c` are signed alike. That is the sender's scheme, and no reader of it can
 * tell them apart.
 * @returns `undefined`: it is no form, or it can be read in two ways
 */
export function sortedFields(body: Buffer): string | undefined {
  const text = body.toString('latin1');
  if (text === '') return '';
  if (!ENCODED.test(text)) return undefined;
  const pairs = text.split('&', MOST_FIELDS + 1);
  if (pairs.length > MOST_FIELDS) return undefined;
  const fields = new Map<string, string[]>();
  for (const pair of pairs) {
    const end = pair.indexOf('=');
    const name = decode(end < 0 ? pair : pair.slice(0, end));
    const value = end < 0 ? '' : decode(pair.slice(end + 1));
    if (name === undefined || value === undefined) return undefined;
    const values = fields.get(name);
    if (values === undefined) fields.set(name, [value]);
    else if (!values.includes(value)) values.push(value);
  }
  let result = '';
  for (const name of [...fields.keys()].sort()) {
    for (const value of (fields.get(name) as string[]).sort()) result += name + value;
  }
  return result;
}

/** `undefined`: a stray `%`, or bytes that are no UTF-8, for which a lenient reader would put something else. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return undefined;
  }
}
