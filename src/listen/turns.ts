import { type Crowd, GRACE_MS, type Seat } from './crowd.ts';

/** How long the handshakes that begin may keep everybody else waiting, in one turn of the event loop. */
const TURN_MS = 5;
/** What these still cost may be asked for all at once: about 0.3 s. */
const MOST_SHAKING = 512;
/** About two seconds' worth of handshakes: who has to wait longer has given up, and is better told soon. */
const MOST_WAITING = 1024;

/**
 * Lets handshakes begin a few at a time, in order of arrival. They are the dearest thing that a stranger can ask for:
 * begun as they come, a flood of them would keep known senders waiting for as long as it lasts.
 */
export class HandshakeTurns {
  readonly #crowd: Crowd;
  readonly #dropped: (address: string) => void;
  #isPlanned = false;
  #turnBeganMs = 0;

  /** @param dropped told of each connection that is closed because there are too many */
  constructor(crowd: Crowd, dropped: (address: string) => void) {
    this.#crowd = crowd;
    this.#dropped = dropped;
  }

  /** Lines a connection up, whose `begin` is called when it is its turn; what that computes may come in the next ticks. */
  add(seat: Seat): void {
    const oldest = this.#crowd.firstOf('waiting');
    if (oldest !== undefined && this.#crowd.sizeOf('waiting') >= MOST_WAITING) this.#drop(oldest);
    seat.moveTo('waiting', performance.now());
    this.wake();
  }

  /** One that was under way is over, or has had its time: another may begin. */
  wake(): void {
    if (this.#isPlanned || this.#crowd.sizeOf('waiting') === 0) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#turnBeganMs = performance.now();
      this.#step(this.#turnBeganMs);
    });
  }

  /** Begins one and, once that has been computed, asks what the time is. */
  #step(nowMs: number): void {
    const seat = this.#crowd.firstOf('waiting');
    if (seat === undefined || !this.#hasRoom(nowMs)) {
      this.#isPlanned = false;
    } else if (nowMs - this.#turnBeganMs >= TURN_MS) {
      this.#isPlanned = false;
      this.wake();
    } else {
      seat.moveTo('shaking', nowMs);
      seat.begin();
      process.nextTick(() => this.#step(performance.now()));
    }
  }

  /** Who leaves a handshake half done must not keep others from theirs. */
  #hasRoom(nowMs: number): boolean {
    const oldest = this.#crowd.firstOf('shaking');
    if (oldest === undefined || this.#crowd.sizeOf('shaking') < MOST_SHAKING) return true;
    if (nowMs - oldest.movedMs < GRACE_MS) return false;
    this.#drop(oldest);
    return true;
  }

  #drop(seat: Seat): void {
    this.#dropped(seat.address);
    this.#crowd.expel(seat);
  }
}
