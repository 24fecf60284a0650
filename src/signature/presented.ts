import type { Fields } from '../fields.ts';
import type { DeclaredRule } from '../signature-settings.ts';
import type { Refusal } from '../types.ts';

/** What the declared headers say, well-formed but not yet believed. */
export interface Presented {
  /** At least one, without prefixes. */
  readonly signatures: readonly string[];
  /** Its digits; `undefined`: it stands in the body, or nowhere. */
  readonly timestamp: string | undefined;
  readonly id: string | undefined;
}

const MOST_ELEMENTS = 64;
const TIMESTAMPS = { 1000: /^[1-9]\d{0,11}$/, 1: /^[1-9]\d{0,14}$/ };
const VISIBLE = /^[\x21-\x7e]{1,256}$/;

/** Compiles the reader of the declared headers: each of them once, or two readers could take two values for it. */
export function presentedReader(rule: DeclaredRule): (headers: Fields) => Presented | Refusal {
  const { header, timestamp: time, separator, prefix } = rule;
  const timeHeader = time !== undefined && 'header' in time ? time.header : undefined;
  const timeElement = time !== undefined && 'element' in time ? time.element : undefined;
  const idHeader = rule.id.from === 'header' ? rule.id.name : undefined;
  const isTime = TIMESTAMPS[time?.unitMs ?? 1000];
  const isId = idForm(rule);

  return (headers) => {
    let list: string | undefined;
    let timestamp: string | undefined;
    let id: string | undefined;
    for (let i = 0; i < headers.length; i += 2) {
      const name = headers[i];
      if (name === header) {
        if (list !== undefined) return repeated(header);
        list = headers[i + 1];
      } else if (name === timeHeader) {
        if (timestamp !== undefined) return repeated(timeHeader as string);
        timestamp = headers[i + 1];
      } else if (name === idHeader) {
        if (id !== undefined) return repeated(idHeader as string);
        id = headers[i + 1];
      }
    }
    if (list === undefined) return missing(header);
    if (timeHeader !== undefined && timestamp === undefined) return missing(timeHeader);
    if (idHeader !== undefined && id === undefined) return missing(idHeader);
    let signatures: string[];
    if (separator === undefined) {
      if (!list.startsWith(prefix)) return malformed(`${header} does not begin with ${prefix}`);
      signatures = [list.slice(prefix.length)];
    } else {
      const elements = list.split(separator, MOST_ELEMENTS + 1);
      if (elements.length > MOST_ELEMENTS) return malformed(`more than ${MOST_ELEMENTS} elements`);
      signatures = [];
      // Elements of other kinds are passed over: a version that nobody knows here is no reason to believe it.
      for (const element of elements) {
        if (timeElement !== undefined && element.startsWith(timeElement)) {
          if (timestamp !== undefined) return malformed(`${timeElement} twice`);
          timestamp = element.slice(timeElement.length);
        } else if (element.startsWith(prefix)) signatures.push(element.slice(prefix.length));
      }
      if (timeElement !== undefined && timestamp === undefined) return missing(`${timeElement} in ${header}`);
      if (signatures.length === 0) return missing(`${prefix} in ${header}`);
    }
    if (timestamp !== undefined && !isTime.test(timestamp)) return malformed('timestamp');
    if (id !== undefined && !isId.test(id)) return malformed('id');
    return { signatures, timestamp, id };
  };
}

/** An id holds nothing that could be taken for its end: `a.1` signed at `2` would otherwise be `a` signed at `1.2`. */
function idForm({ content }: DeclaredRule): RegExp {
  const next = content[content.findIndex((piece) => 'place' in piece && piece.place === 'id') + 1];
  if (next === undefined || !('text' in next)) return VISIBLE;
  return new RegExp(String.raw`^(?:(?!${RegExp.escape(next.text[0] as string)})[\x21-\x7e]){1,256}$`);
}

function repeated(name: string): Refusal {
  return { reason: 'signature.repeated', detail: name };
}

function missing(what: string): Refusal {
  return { reason: 'signature.missing', detail: `no ${what}` };
}

/** @param detail what is not as it should be; never a secret */
export function malformed(detail: string): Refusal {
  return { reason: 'signature.malformed', detail };
}
