/**
 * What a terminal acts on, and what makes text look like other text: C0 and C1 controls, DEL, line separators,
 * bidirectional overrides. A payload is the sender's text and an answer the upstream's: printed as they are, either
 * could rewrite the operator's screen.
 */
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;
/** The same without what JSON escapes itself, and without the line ends of its indentation. */
const UNSEEN_IN_JSON = /[\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g;
const NOT_PLAIN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|\r(?!\n)/;

/** Text on one line, each unseen character as its escape: `\x1b`, `\u202e`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** The same, line ends and tabs left as they are. */
export function visibleLines(text: string): string {
  return text
    .split(/\r?\n/)
    .map((line) => line.split('\t').map(visible).join('\t'))
    .join('\n');
}

/** JSON that a terminal takes for nothing else. @param indent spaces; default: one line */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(
    UNSEEN_IN_JSON,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** Bytes as UTF-8 text; `undefined`: they are none. @param cut the last character may have lost its end */
export function textOf(bytes: Buffer, cut = false): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: cut });
  } catch {
    return undefined;
  }
}

/** The bytes' text where it can be printed as it is, line ends and tabs included; else `undefined`. */
export function plainText(bytes: Buffer): string | undefined {
  const text = textOf(bytes);
  return text === undefined || NOT_PLAIN.test(text) ? undefined : text;
}
