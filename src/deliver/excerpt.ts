import type { UpstreamAnswer } from '../types.ts';

const KEPT_BYTES = 1024;
/** An answer that drips does not hold up what it says in its status. */
const PATIENCE_MS = 5000;

/** The beginning of an answer, for whoever asks later why a delivery failed; the rest is not waited for. Never rejects. */
export function excerptOf({ body }: UpstreamAnswer): Buffer | Promise<Buffer> {
  if (body === undefined) return Buffer.alloc(0);
  // A copy: a part of a large buffer would keep the whole of it.
  if (Buffer.isBuffer(body)) return Buffer.from(body.subarray(0, KEPT_BYTES));
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).subarray(0, KEPT_BYTES));
    };
    const timer = setTimeout(() => {
      body.cancel();
      end();
    }, PATIENCE_MS);
    body.start({
      write: (chunk) => {
        if (bytes >= KEPT_BYTES) return false;
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes < KEPT_BYTES) return true;
        // Not at once: the answer is in the middle of handing over what it holds.
        queueMicrotask(() => body.cancel());
        end();
        return false;
      },
      end,
      fail: end,
    });
  });
}
