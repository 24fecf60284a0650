import type { Crash } from './gateway.ts';
import type { Delivery } from './record.ts';

/** What is known at the end of a run. */
export interface Evidence {
  readonly acknowledged: ReadonlySet<string>;
  /** In the order in which they came. */
  readonly deliveries: readonly Delivery[];
  readonly crashes: readonly Crash[];
}

/** What one crash had under way, and what of that was done again. */
export interface Cost {
  /** Deliveries that the upstream had begun and not answered when the signal was sent. */
  readonly underWay: number;
  /** Events that the upstream had taken from this process, and took from another one later. */
  readonly repeated: readonly string[];
}

export interface Judgement {
  /** Acknowledged, and never taken by the upstream. */
  readonly lost: readonly string[];
  readonly taken: number;
  /** Deliveries taken beyond the first of each event. */
  readonly repeats: number;
  /** Events taken more often than crashes of those that delivered them explain. */
  readonly unexplained: readonly string[];
  /** Repeats that did not say so: their attempt was no later one. */
  readonly unmarked: readonly string[];
  /** One for each crash. */
  readonly costs: ReadonlyMap<Crash, Cost>;
}

/** Compares what the senders were told with what the upstream took. */
export function judge({ acknowledged, deliveries, crashes }: Evidence): Judgement {
  const taken = deliveries.filter(({ status }) => status < 300);
  const byEvent = Map.groupBy(taken, ({ id }) => id);
  const byName = new Map(crashes.map((crash) => [crash.gateway, crash]));
  const repeated = new Map<string, string[]>(crashes.map(({ gateway }) => [gateway, []]));
  const unexplained: string[] = [];
  const unmarked: string[] = [];
  for (const [id, all] of byEvent) {
    if (all.length === 1) continue;
    // A crash explains one repeat of what its process had delivered; the last delivery needs no explanation.
    const crashed = [...new Set(all.map(({ gateway }) => gateway))].filter((name) => byName.has(name));
    for (const name of crashed.slice(0, all.length - 1)) repeated.get(name)?.push(id);
    if (crashed.length < all.length - 1) unexplained.push(id);
    const attempts = new Set(all.map(({ attempt }) => attempt));
    if (attempts.size < all.length) unmarked.push(id);
  }
  const byGateway = Map.groupBy(deliveries, ({ gateway }) => gateway);
  return {
    lost: [...acknowledged].filter((id) => !byEvent.has(id)),
    taken: taken.length,
    repeats: taken.length - byEvent.size,
    unexplained,
    unmarked,
    costs: new Map(
      crashes.map((crash) => [
        crash,
        {
          underWay: (byGateway.get(crash.gateway) ?? []).filter((one) => isUnderWay(one, crash)).length,
          repeated: repeated.get(crash.gateway) ?? [],
        },
      ]),
    ),
  };
}

function isUnderWay({ atUs, answeredUs }: Delivery, { killedUs, endedUs }: Crash): boolean {
  return atUs < endedUs && (answeredUs === undefined || answeredUs > killedUs);
}
