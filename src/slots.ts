/**
 * Members that come and go with every request. A Set or Map does not serve here: it outgrows its table every few
 * dozen requests, and V8 keeps each old table, with all it held, alive until the next full collection.
 */
export class Slots<T> {
  readonly #members: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#members.length - this.#free.length;
  }

  /** Returns the member's place, which `remove` wants back. */
  add(member: T): number {
    const place = this.#free.pop() ?? this.#members.length;
    this.#members[place] = member;
    return place;
  }

  /** Must be called once for each `add`. */
  remove(place: number): void {
    this.#members[place] = undefined;
    this.#free.push(place);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const member of this.#members) if (member !== undefined) yield member;
  }
}
