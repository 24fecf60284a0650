/**
 * The three metadata functions that `@peculiar/x509` (through tsyringe) looks for on `Reflect` when it loads.
 * Import this file before that package. It keeps exactly what is stored and looks nothing up the prototype chain,
 * which is all the package needs.
 */
const stored = new WeakMap<object, Map<unknown, unknown>>();

function read(key: unknown, target: object): unknown {
  return stored.get(target)?.get(key);
}

function define(key: unknown, value: unknown, target: object): void {
  const entries = stored.get(target) ?? new Map<unknown, unknown>();
  entries.set(key, value);
  stored.set(target, entries);
}

Object.assign(Reflect, { getMetadata: read, getOwnMetadata: read, defineMetadata: define });
