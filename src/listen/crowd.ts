import { networkOf } from '../addresses.ts';
import type { AddressValue } from '../types.ts';

/**
 * How far a connection has come: `arriving` has not said yet what it wants, `waiting` waits for its handshake to begin,
 * `shaking` is in it, `idle` is between requests, `heading` in the middle of a request's head, `busy` has a request
 * under way.
 */
export type Stage = 'arriving' | 'waiting' | 'shaking' | 'heading' | 'idle' | 'busy';

/** Who had to give way to a newer connection. */
export type Given = 'unfinished' | 'idle' | 'newcomer';

export interface CrowdLimits {
  readonly connections: number;
  /** `undefined`: no cap. */
  readonly perAddress: number | undefined;
}

/** A connection has this long to get on before it may have to give way to a newer one. */
export const GRACE_MS = 1000;

/** Where so large a part of all have not shown yet what they are, no known one gives way to a further one. */
const MOST_STRANGERS = 0.25;

/** These have not shown yet that a request will come of them. */
const UNFINISHED = ['arriving', 'shaking', 'heading', 'waiting'] as const;

/** One connection's place, from accept to close. */
export class Seat {
  readonly #crowd: Crowd;
  /** Its sender's, as far as it is known: the peer's, or the one in its PROXY header. */
  address: string;
  readonly acceptedMs: number;
  /** When its stage began. */
  movedMs: number;
  stage: Stage = 'arriving';
  /** What it takes to end the connection at once. */
  close: () => void;
  /** What becomes of it when its handshake takes too long. */
  late: () => void = () => undefined;
  /** Begins its handshake, once it is its turn. */
  begin: () => void = () => undefined;
  network: AddressValue | undefined = undefined;
  /** It has left: its connection has ended. */
  isOver = false;
  /** It was we who ended it, and why has been said. */
  isExpelled = false;
  before: Seat | undefined = undefined;
  after: Seat | undefined = undefined;

  constructor(
    crowd: Crowd,
    { address, nowMs, close }: { address: string; nowMs: number; close: () => void },
  ) {
    this.#crowd = crowd;
    this.address = address;
    this.acceptedMs = nowMs;
    this.movedMs = nowMs;
    this.close = close;
  }

  moveTo(stage: Stage, nowMs: number): void {
    if (!this.isOver) this.#crowd.move(this, stage, nowMs);
  }
}

/** Seats in the order in which they came to their stage: each knows its neighbours, so that leaving costs nothing. */
class Row {
  first: Seat | undefined = undefined;
  #last: Seat | undefined = undefined;
  size = 0;

  append(seat: Seat): void {
    seat.before = this.#last;
    seat.after = undefined;
    if (this.#last === undefined) this.first = seat;
    else this.#last.after = seat;
    this.#last = seat;
    this.size += 1;
  }

  remove(seat: Seat): void {
    if (seat.before === undefined) this.first = seat.after;
    else seat.before.after = seat.after;
    if (seat.after === undefined) this.#last = seat.before;
    else seat.after.before = seat.before;
    this.size -= 1;
  }
}

/**
 * All connections of a listener: how many there are, how many of each address, and who gives way when there is no room
 * for a newer one. Each step takes the same time however many there are, so that a flood gains nothing by its size.
 */
export class Crowd {
  /** May be replaced at any time; who is in stays in until a newer one needs the room. */
  limits: CrowdLimits;
  readonly #rows: Readonly<Record<Stage, Row>> = {
    arriving: new Row(),
    waiting: new Row(),
    shaking: new Row(),
    heading: new Row(),
    idle: new Row(),
    busy: new Row(),
  };
  readonly #perNetwork = new Map<AddressValue, number>();
  readonly #gaveWay: (who: Given, address: string) => void;
  #size = 0;

  /** @param gaveWay told who had to give way to a newcomer of this address */
  constructor(limits: CrowdLimits, gaveWay: (who: Given, address: string) => void) {
    this.limits = limits;
    this.#gaveWay = gaveWay;
  }

  get size(): number {
    return this.#size;
  }

  sizeOf(stage: Stage): number {
    return this.#rows[stage].size;
  }

  /** Who has been in this stage the longest. */
  firstOf(stage: Stage): Seat | undefined {
    return this.#rows[stage].first;
  }

  *[Symbol.iterator](): Generator<Seat> {
    for (const row of Object.values(this.#rows)) yield* inRow(row);
  }

  /**
   * A new connection comes in, for which others may have to go.
   * @returns `undefined`: nobody could be asked to go, so the newcomer has to
   */
  enter(address: string, close: () => void): Seat | undefined {
    const nowMs = performance.now();
    while (this.#size >= this.limits.connections) {
      const seat = this.#whoGives(nowMs);
      this.#gaveWay(seat === undefined ? 'newcomer' : seat.stage === 'idle' ? 'idle' : 'unfinished', address);
      if (seat === undefined) return undefined;
      this.expel(seat);
    }
    const seat = new Seat(this, { address, nowMs, close });
    this.#rows.arriving.append(seat);
    this.#size += 1;
    return seat;
  }

  /** Whose connection it is has been said; false: that address has as many as it may have. Called at most once. */
  isWithinCap(seat: Seat, address: AddressValue): boolean {
    const network = networkOf(address);
    const count = this.#perNetwork.get(network) ?? 0;
    if (count >= (this.limits.perAddress ?? Number.POSITIVE_INFINITY)) return false;
    this.#perNetwork.set(network, count + 1);
    seat.network = network;
    return true;
  }

  move(seat: Seat, stage: Stage, nowMs: number): void {
    this.#rows[seat.stage].remove(seat);
    seat.stage = stage;
    seat.movedMs = nowMs;
    this.#rows[stage].append(seat);
  }

  /** Ends a connection at once. */
  expel(seat: Seat): void {
    seat.isExpelled = true;
    this.leave(seat);
    seat.close();
  }

  /** The connection has ended. May be called more than once. */
  leave(seat: Seat): void {
    if (seat.isOver) return;
    seat.isOver = true;
    this.#rows[seat.stage].remove(seat);
    this.#size -= 1;
    if (seat.network === undefined) return;
    const left = (this.#perNetwork.get(seat.network) ?? 1) - 1;
    if (left > 0) this.#perNetwork.set(seat.network, left);
    else this.#perNetwork.delete(seat.network);
  }

  /** Ends the handshakes that began before this time, and what has not come that far. */
  endUnfinished(beforeMs: number): void {
    // In order of arrival: who comes after the first one that still has time has time as well.
    for (let seat = this.#rows.arriving.first; seat !== undefined && seat.acceptedMs < beforeMs; ) {
      const late = seat;
      seat = seat.after;
      late.late();
    }
    // These rows are short.
    for (const stage of ['waiting', 'shaking'] as const) {
      for (const seat of [...inRow(this.#rows[stage])]) if (seat.acceptedMs < beforeMs) seat.late();
    }
  }

  /** The oldest one of which no request has come yet, else the one that has carried none for longest. */
  #whoGives(nowMs: number): Seat | undefined {
    const hasHadTime = (seat: Seat | undefined) => seat !== undefined && nowMs - seat.movedMs >= GRACE_MS;
    let oldest: Seat | undefined;
    let unfinished = 0;
    for (const stage of UNFINISHED) {
      const { first, size } = this.#rows[stage];
      unfinished += size;
      if (first !== undefined && (oldest === undefined || first.movedMs < oldest.movedMs)) oldest = first;
    }
    if (hasHadTime(oldest)) return oldest;
    // Otherwise a flood of strangers would have all known senders thrown out within its first second.
    if (unfinished > 0 && unfinished >= this.limits.connections * MOST_STRANGERS) return undefined;
    const idle = this.#rows.idle.first;
    return hasHadTime(idle) ? idle : undefined;
  }
}

function* inRow(row: Row): Generator<Seat> {
  for (let seat = row.first; seat !== undefined; seat = seat.after) yield seat;
}
