/** There was no answer in time, be it that Redis is away or that it has much to do. */
export class TimedOut extends Error {
  constructor() {
    super('timed out');
  }
}

/** Settles as `promise` does, or rejects after `limitMs`; what comes later is of no interest to anybody. */
export function within<Value>(promise: Promise<Value>, limitMs: number): Promise<Value> {
  const { promise: bounded, resolve, reject } = Promise.withResolvers<Value>();
  // A process that was busy has not read yet what arrived meanwhile: it does so before the immediate.
  const timer = setTimeout(() => setImmediate(() => reject(new TimedOut())), limitMs);
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
