import type { Queue } from '../events.ts';
import { Worker, type WorkerObserver, type WorkerRoute } from './worker.ts';

/** Everything that is delivered from the queue by this process, through all configurations. */
export interface Deliveries {
  /**
   * Delivers these routes from now on as they say now. A route that does not queue is delivered too: it may have done
   * so before. What is under way ends as it began.
   */
  configure(routes: readonly WorkerRoute[]): void;
  /** An event of this route has been accepted. */
  wake(route: string): void;
  /** Begins no more. */
  stop(): void;
  /** How many are under way. */
  underWay(): number;
  giveUpAll(): void;
}

/** A worker for each route, so that no route waits for another's backlog. */
export function openDeliveries(queue: Queue, observer: WorkerObserver): Deliveries {
  const workers = new Map<string, Worker>();
  /** Of routes that are not configured any more: their last deliveries are still under way. */
  const leaving = new Set<Worker>();
  const all = () => [...workers.values(), ...leaving];
  queue.watch((route) => workers.get(route)?.wake());
  return {
    configure: (routes) => {
      const names = new Set(routes.map(({ name }) => name));
      for (const worker of leaving) if (worker.underWay === 0) leaving.delete(worker);
      for (const [name, worker] of workers) {
        if (names.has(name)) continue;
        worker.stop();
        workers.delete(name);
        leaving.add(worker);
      }
      for (const route of routes) {
        const worker = workers.get(route.name);
        if (worker === undefined) workers.set(route.name, new Worker(route, queue, observer));
        else worker.route = route;
        workers.get(route.name)?.wake();
      }
    },
    wake: (route) => workers.get(route)?.wake(),
    stop: () => {
      for (const worker of all()) worker.stop();
    },
    underWay: () => all().reduce((sum, worker) => sum + worker.underWay, 0),
    giveUpAll: () => {
      for (const worker of all()) worker.giveUpAll();
    },
  };
}
