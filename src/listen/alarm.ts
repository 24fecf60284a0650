const NEVER = Number.POSITIVE_INFINITY;

/** The one thing a connection waits for at a time; looked at by the listener's sweep, so that no request needs a timer. */
export class Alarm {
  #atMs = NEVER;
  #act: () => void = () => undefined;

  /** `act` is called once, at the first sweep after this monotonic time, unless the alarm is set again or cleared. */
  set(atMs: number, act: () => void): void {
    this.#atMs = atMs;
    this.#act = act;
  }

  clear(): void {
    this.#atMs = NEVER;
  }

  sweep(nowMs: number): void {
    if (nowMs < this.#atMs) return;
    this.clear();
    this.#act();
  }
}
