import type { Lease, Queue } from '../events.ts';
import { ownerOf } from '../lane.ts';
import type { WorkerObserver } from './conclude.ts';
import { handedOver, type Running } from './handed-over.ts';
import { Worker, type WorkerRoute } from './worker.ts';

/** Everything that is delivered from the queue by this process, through all configurations. */
export interface Deliveries {
  /**
   * Delivers these lanes from now on as they say now. A route that does not queue is delivered too: it may have done
   * so before. What is under way ends as it began.
   */
  configure(lanes: readonly WorkerRoute[]): void;
  /** An event has been accepted into this lane. */
  wake(lane: string): void;
  /** An exchange that is under way is the first delivery of an event. It does not count for its lane's `concurrency`. */
  takeOver(lease: Lease, running: Running): void;
  /** Begins no more. */
  stop(): void;
  /** How many are under way. */
  underWay(): number;
  giveUpAll(): void;
}

/** A worker for each lane, so that none waits for another's backlog. */
export function openDeliveries(queue: Queue, observer: WorkerObserver): Deliveries {
  let configured: ReadonlyMap<string, WorkerRoute> = new Map();
  const workers = new Map<string, Worker>();
  /** Of routes that are not configured any more: their last deliveries are still under way. */
  const leaving = new Set<Worker>();
  let isStopped = false;
  const all = () => [...workers.values(), ...leaving];
  const others = handedOver({ queue, observer, isStopped: () => isStopped }, wake);
  queue.watch(wake);

  /** What a client's lane still holds when the client is configured no more is for its route to deliver. */
  function routeFor(lane: string): WorkerRoute | undefined {
    const heir = configured.get(ownerOf(lane).route);
    return configured.get(lane) ?? (heir && { ...heir, name: lane });
  }

  function wake(lane: string): void {
    const route = workers.has(lane) || isStopped ? undefined : routeFor(lane);
    if (route !== undefined) workers.set(lane, new Worker(route, queue, observer));
    workers.get(lane)?.wake();
  }

  /** A client's lane has a worker from its first event on: most of a thousand clients may have nothing to deliver. */
  function wakeClients(): void {
    const isClients = (lane: string): boolean => ownerOf(lane).client !== undefined;
    queue.counts().then(
      (counts) => {
        for (const { route, waiting, delivering } of counts)
          if (isClients(route) && waiting + delivering > 0) wake(route);
      },
      () => {
        for (const lane of configured.keys()) if (isClients(lane)) wake(lane);
      },
    );
  }

  return {
    configure: (lanes) => {
      configured = new Map(lanes.map((lane) => [lane.name, lane]));
      for (const worker of leaving) if (worker.underWay === 0) leaving.delete(worker);
      for (const [name, worker] of workers) {
        const route = routeFor(name);
        if (route !== undefined) {
          worker.route = route;
          worker.wake();
          continue;
        }
        worker.stop();
        workers.delete(name);
        leaving.add(worker);
      }
      for (const { name } of lanes) if (ownerOf(name).client === undefined) wake(name);
      wakeClients();
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
