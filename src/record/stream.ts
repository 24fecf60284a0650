import type { BodyStream } from '../types.ts';
import type { Entry } from './entry.ts';

/** The same stream; its request is recorded when the last of it is written, or when it broke off. */
export function recordedAtItsEnd(
  stream: BodyStream,
  entry: Entry,
  record: (entry: Entry) => void,
): BodyStream {
  return {
    start: (sink) =>
      stream.start({
        write: (chunk) => sink.write(chunk),
        end: () => {
          record(entry);
          sink.end();
        },
        fail: (fault) => {
          record(Object.assign(entry, { outcome: 'failed', reason: fault.reason, detail: fault.detail }));
          sink.fail(fault);
        },
      }),
    resume: () => stream.resume(),
    cancel: () => {
      record(Object.assign(entry, { detail: 'the sender left before the end of the answer' }));
      stream.cancel();
    },
  };
}
