import type { Lease, Queue } from '../events.ts';
import type { WorkerObserver } from './conclude.ts';
import { handedOver, type Running } from './handed-over.ts';
import { Worker, type WorkerRoute } from './worker.ts';

/** Everything that is delivered from the queue by this process, through all configurations. */
export interface Deliveries {
  /**
   * Delivers these routes from now on as they say now. A route that does not queue is delivered too: it may have done
   * so before. What is under way ends as it began.
   */
  configure(routes: readonly WorkerRoute[]): void;
  /** An event of this route has been accepted. */
  wake(route: string): void;
  /** An exchange that is under way is the first delivery of an event. It does not count for its route's `concurrency`. */
  takeOver(lease: Lease, running: Running): void;
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
  let isStopped = false;
  const wake = (route: string) => workers.get(route)?.wake();
  const others = handedOver({ queue, observer, isStopped: () => isStopped }, wake);
  queue.watch(wake);
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
    wake,
    takeOver: others.take,
    stop: () => {
      isStopped = true;
      for (const worker of all()) worker.stop();
    },
    underWay: () => all().reduce((sum, worker) => sum + worker.underWay, others.underWay()),
    giveUpAll: () => {
      others.giveUpAll();
      for (const worker of all()) worker.giveUpAll();
    },
  };
}
