/** Settles as `promise` does, or rejects after `limitMs`; what comes later is of no interest to anybody. */
export function within<Value>(promise: Promise<Value>, limitMs: number): Promise<Value> {
  const { promise: bounded, resolve, reject } = Promise.withResolvers<Value>();
  const timer = setTimeout(() => reject(new Error('timed out')), limitMs);
  promise.then(
    (value) => {
      clearTimeout(timer);
      resolve(value);
    },
    (error: unknown) => {
      clearTimeout(timer);
      reject(error);
    },
  );
  return bounded;
}
