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

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
}
