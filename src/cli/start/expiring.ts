import { type Expiry, expiryWarning } from '../../config/expiry.ts';
import type { Log } from '../../record/log.ts';
import type { Metrics } from '../../record/metrics.ts';

const LOOK_MS = 60_000;
const REPEAT_MS = 86_400_000;

/** Says of certificates and revocation lists that they end soon: when that becomes true, and once a day. */
export interface ExpiryWatch {
  /** Looks after these from now on; what was loaded has just been warned of. */
  watch(expiries: readonly Expiry[]): void;
  close(): void;
}

export function watchExpiries({ log, metrics }: { log: Log; metrics: Metrics }): ExpiryWatch {
  let current: readonly Expiry[] = [];
  let toldMs = new Map<string, number>();
  const look = (): void => {
    const nowMs = Date.now();
    for (const expiry of current) {
      const warning = expiryWarning(expiry, nowMs);
      if (warning === undefined || nowMs - (toldMs.get(warning) ?? 0) < REPEAT_MS) continue;
      toldMs.set(warning, nowMs);
      log.logger.warn({ warning }, 'configuration');
    }
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return {
    watch: (expiries) => {
      const nowMs = Date.now();
      current = expiries;
      const warnings = expiries.flatMap((expiry) => expiryWarning(expiry, nowMs) ?? []);
      toldMs = new Map(warnings.map((warning) => [warning, nowMs]));
      metrics.expiries(expiries);
    },
    close: () => clearInterval(timer),
  };
}
