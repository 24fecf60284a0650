/** libuv's clock, which `performance.now` counts from the start of the process, and `hrtime` as the system does. */
const STARTED_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/**
 * Milliseconds since some moment before the start of the system: the same for all its processes, whatever becomes of the
 * wall clock.
 */
export function bootMs(): number {
  return STARTED_MS + performance.now();
}
