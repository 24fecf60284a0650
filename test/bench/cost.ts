const ROUNDS = 5;

/** CPU nanoseconds of one call, as the median of five rounds after one that warms up. */
export function cost(calls: number, call: (place: number) => void): number {
  return middle(Array.from({ length: ROUNDS + 1 }, () => once(calls, call)).slice(1));
}

/** The same for several that are compared: they take turns, so that a machine that is slow for a while is so to all. */
export function costs(
  calls: number,
  each: Readonly<Record<string, (place: number) => void>>,
): ReadonlyMap<string, number> {
  const taken = new Map(Object.keys(each).map((name) => [name, [] as number[]]));
  for (let round = 0; round <= ROUNDS; round += 1)
    for (const [name, call] of Object.entries(each)) taken.get(name)?.push(once(calls, call));
  return new Map([...taken].map(([name, rounds]) => [name, middle(rounds.slice(1))]));
}

/** CPU nanoseconds of one call that is waited for; the whole process counts, with its threads. */
export async function costOfWaited(calls: number, call: () => Promise<unknown>): Promise<number> {
  const rounds: number[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const before = process.cpuUsage();
    for (let place = 0; place < calls; place += 1) await call();
    const { user, system } = process.cpuUsage(before);
    rounds.push(((user + system) * 1000) / calls);
  }
  return middle(rounds.slice(1));
}

export function report(name: string, nanoseconds: number, note = ''): void {
  console.log(`${name.padEnd(52)} ${Math.round(nanoseconds).toString().padStart(9)} ns${note}`);
}

function once(calls: number, call: (place: number) => void): number {
  const before = process.cpuUsage();
  for (let place = 0; place < calls; place += 1) call(place);
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / calls;
}

function middle(rounds: number[]): number {
  return rounds.sort((a, b) => a - b)[Math.floor(rounds.length / 2)] as number;
}
