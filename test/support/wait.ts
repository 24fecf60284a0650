/** How long an awaited event may take before the test fails with what is known. */
const PATIENCE_MS = 12_000;

/**
 * Resolves with what `find` returns as soon as that is not `undefined`. `find` runs now and then each time something
 * happens: whoever makes it happen calls every function in `watchers`.
 * Throws after 12 s, with what `explain` says.
 */
export function waitFor<T>(
  watchers: Set<() => void>,
  find: () => T | undefined,
  explain: () => string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const look = (): boolean => {
      const found = find();
      if (found === undefined) return false;
      watchers.delete(look);
      clearTimeout(timer);
      resolve(found);
      return true;
    };
    const timer = setTimeout(() => {
      watchers.delete(look);
      reject(new Error(explain()));
    }, PATIENCE_MS);
    if (!look()) watchers.add(look);
  });
}
