type KeyPath = readonly string[];

/** A message as its sender wrote it, in JSON; `undefined`: it is not JSON. */
export function parseMessage(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    return undefined;
  }
}

/** The first text that stands at one of these places of a message. */
export function memberAt(message: unknown, paths: readonly KeyPath[]): string | undefined {
  const found = paths.map((path) => valueAt(message, path)).find((value) => typeof value === 'string');
  return typeof found === 'string' ? found : undefined;
}

/** What stands at a place of a message; `undefined`: nothing does. */
export function valueAt(message: unknown, path: KeyPath): unknown {
  return path.reduce(member, message);
}

/**
 * A text member of the outermost object with nothing nested before it: there most senders put the type, and finding
 * it costs a tenth of parsing the message. No two parts can match the same character, so the cost is linear.
 */
export function earlyMember(key: string): RegExp {
  const member = String.raw`"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[-+.\w]+)\s*,\s*`;
  return new RegExp(
    String.raw`^\s*\{\s*(?:${member})*?"${RegExp.escape(key)}"\s*:\s*"([ -!#-\[\]-~]{1,128})"`,
  );
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
