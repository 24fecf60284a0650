const LONGEST_PERIOD_MS = 50;
const PERIODS_PER_LIMIT = 10;

/**
 * How long the event loop has kept what waits for it waiting. A timer notes each time that the loop comes round; what
 * has passed since then is known inside a long turn as well, and the next turn begins anew.
 */
export interface Pulse {
  /** Monotonic time from which on new requests are too much; already past where the turn before was too long. */
  readonly busyAfterMs: number;
  /** How long the loop may be busy, milliseconds. May be changed at any time. */
  limitMs: number;
  /** By how much the loop is, or was at its last turn, behind; milliseconds. */
  delayMs(): number;
  /** A long turn that was meant to be (a reload) ends here: it counts for nobody. */
  restart(): void;
  close(): void;
}

/** Begins to watch the event loop. */
export function openPulse(limitMs: number): Pulse {
  let periodMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let lastMs = performance.now();
  let behindMs = 0;

  function beat(): void {
    const nowMs = performance.now();
    behindMs = Math.max(0, nowMs - lastMs - periodMs);
    lastMs = nowMs;
    pulse.busyAfterMs = nowMs + limitMs;
    if (behindMs <= limitMs) return;
    // What has arrived in the long turn is read next, all of it before the first immediate: that has waited too long.
    pulse.busyAfterMs = Number.NEGATIVE_INFINITY;
    setImmediate(() => {
      pulse.busyAfterMs = lastMs + limitMs;
    });
  }

  const pulse = {
    busyAfterMs: lastMs + limitMs,
    get limitMs(): number {
      return limitMs;
    },
    set limitMs(next: number) {
      limitMs = next;
      // Late by less than its own period, the timer itself must not look like a busy loop.
      periodMs = Math.min(LONGEST_PERIOD_MS, Math.max(1, next / PERIODS_PER_LIMIT));
      clearInterval(timer);
      timer = setInterval(beat, periodMs).unref();
      pulse.restart();
    },
    delayMs: () => Math.max(behindMs, performance.now() - lastMs - periodMs, 0),
    restart(): void {
      lastMs = performance.now();
      behindMs = 0;
      pulse.busyAfterMs = lastMs + limitMs;
    },
    close: () => clearInterval(timer),
  };
  pulse.limitMs = limitMs;
  return pulse;
}
