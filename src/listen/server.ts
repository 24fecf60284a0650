import { createServer, type Server } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { addressSet } from '../addresses.ts';
import type { BodyBudget } from '../body.ts';
import type { Settings } from '../settings.ts';
import type { RevocationList, TlsSettings } from '../tls-settings.ts';
import type { AddressValue, Handler, Peer } from '../types.ts';
import { type AcceptNotes, type AcceptRules, acceptSocket, type Doorway, type Newcomer } from './accept.ts';
import { Connection } from './connection.ts';
import { Crowd, type CrowdLimits } from './crowd.ts';
import { forwardedPeer } from './forwarded.ts';
import { type Handshakes, openHandshakes } from './handshakes.ts';
import type { Shared } from './line.ts';
import { type FindTrust, type Trust, trustFinder } from './trust.ts';
import { HandshakeTurns } from './turns.ts';

/** What a listener is told anew when the configuration changes. */
export interface Entrance {
  readonly settings: Pick<Settings, 'listen' | 'tls' | 'limits'>;
  readonly admits: (address: AddressValue) => boolean;
  /** Whether any route hands the client's certificate on. */
  readonly keepsDer: boolean;
  /** For how many connections the system has file descriptors; infinite where nobody knows. */
  readonly room: number;
}

export interface ListenOptions {
  readonly entrance: Entrance;
  readonly handler: Handler;
  readonly budget: BodyBudget;
  readonly notes: AcceptNotes;
}

export interface Listener {
  readonly address: string;
  readonly port: number;
  /** All that are open, those included that have not finished their handshake. */
  connections(): number;
  /** Handshakes that have begun or wait for that. */
  handshakes(): number;
  /**
   * From now on new connections and handshakes are judged by this; the address and port stay. Connections that were
   * let in under another client trust are closed, after the request that is under way.
   * @returns how many those were
   * @throws Error where OpenSSL does not take a certificate, a key or a list; then nothing has changed
   */
  replace(entrance: Entrance): number;
  /** From now on each answer closes its connection, so that senders go elsewhere; new ones are still accepted. */
  leave(): void;
  /** Accepts nothing more, closes idle connections and the others after their answers. */
  drain(): void;
  /** Resolves once the last connection is closed. */
  readonly closed: Promise<void>;
  destroy(): void;
}

/** What is decided from one configuration, and swapped for that of the next. */
interface Current {
  readonly entrance: Entrance;
  readonly trustOf: FindTrust;
  readonly rules: AcceptRules;
  readonly handshakes: Handshakes;
  /** When the next revocation list ends, after which OpenSSL refuses those that it is needed for. */
  readonly listEndsMs: number;
}

const SWEEP_MS = 100;

/**
 * Listens for senders. Resolves once connections are accepted.
 * @throws Error where the address cannot be bound
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { handler, notes } = options;
  const connections = new Map<Connection, Trust>();
  const crowd = new Crowd(capsOf(options.entrance), notes.full);
  const door: Doorway = {
    crowd,
    turns: new HandshakeTurns(crowd, notes.droppedHandshake),
    rules: () => current.rules,
    notes,
    begin: (newcomer) => current.handshakes.begin(newcomer),
  };
  const shared: { -readonly [Key in keyof Shared]: Shared[Key] } = {
    handler,
    budget: options.budget,
    limits: options.entrance.settings.limits,
    resolvePeer: undefined,
  };
  let phase: 'open' | 'leaving' | 'draining' = 'open';
  let current = prepare(options.entrance, undefined);

  /** @param handshakes those of before, where nothing has changed that they depend on */
  function prepare(entrance: Entrance, handshakes: Handshakes | undefined): Current {
    const { admits, keepsDer } = entrance;
    const { tls, limits, listen } = entrance.settings;
    const isTrustedProxy = addressSet(listen.trustedProxies);
    const timeoutMs = limits.handshakeTimeout;
    const refused = handler.refuseConnection;
    const failed = notes.failedHandshake;
    const fresh = () => openHandshakes({ tls, timeoutMs, keepsDer, done: admit, refused, failed });
    return {
      entrance,
      trustOf: trustFinder(tls),
      rules: { listen, isTrustedProxy, admits, refused },
      handshakes: handshakes ?? fresh(),
      listEndsMs: listEnd(tls),
    };
  }

  function apply(next: Current): void {
    current = next;
    const { limits, listen } = next.entrance.settings;
    shared.limits = limits;
    shared.resolvePeer = listen.forwardedFor ? forwardedPeer(next.rules.isTrustedProxy) : undefined;
    crowd.limits = capsOf(next.entrance);
  }

  function admit(socket: TLSSocket, { seat }: Newcomer, peer: Peer, trust: Trust): void {
    if (current.trustOf(trust.host).id !== trust.id) {
      notes.failedHandshake(peer.address, 'the client trust changed during the handshake');
      socket.destroy();
      return;
    }
    // Only now: a handshake whose client has hung up would stay until its timeout.
    socket.allowHalfOpen = true;
    const connection = new Connection(socket, { shared, peer, seat });
    connections.set(connection, trust);
    seat.close = () => connection.destroy();
    seat.moveTo('idle', performance.now());
    door.turns.wake();
    socket.on('close', () => connections.delete(connection));
    if (phase === 'leaving') connection.leave();
    else if (phase === 'draining') connection.drain();
  }

  /** Ends what was let in under a trust that is no longer the one of its host. */
  function retire(isStale: (trust: Trust) => boolean): number {
    let count = 0;
    for (const [connection, trust] of connections) {
      if (!isStale(trust)) continue;
      connection.retire();
      count += 1;
    }
    return count;
  }

  const server = createServer({ noDelay: true }, (socket) => acceptSocket(socket, door));
  apply(current);
  await bound(server, options.entrance.settings.listen);

  const sweeping = setInterval(() => {
    const nowMs = performance.now();
    for (const connection of connections.keys()) connection.alarm.sweep(nowMs);
    crowd.endUnfinished(nowMs - current.entrance.settings.limits.handshakeTimeout);
    door.turns.wake();
    if (Date.now() >= current.listEndsMs) endList();
  }, SWEEP_MS);

  /** Who came in while the list was valid would stay, and so would sessions to be resumed. */
  function endList(): void {
    const nowMs = Date.now();
    current = prepare(current.entrance, undefined);
    const hasEnded = ({ nextUpdateMs = Number.POSITIVE_INFINITY }: RevocationList) => nextUpdateMs <= nowMs;
    retire(({ settings }) => settings.clientCrl.some(hasEnded));
  }

  const closed = Promise.withResolvers<void>();
  server.on('close', () => {
    clearInterval(sweeping);
    closed.resolve();
  });
  const { port } = server.address() as { port: number };
  return {
    address: options.entrance.settings.listen.address,
    port,
    connections: () => crowd.size,
    handshakes: () => crowd.sizeOf('waiting') + crowd.sizeOf('shaking'),
    replace: (entrance) => {
      const isSame = isSameHandshake(current.entrance, entrance);
      apply(prepare(entrance, isSame ? current.handshakes : undefined));
      return retire((trust) => current.trustOf(trust.host).id !== trust.id);
    },
    leave: () => {
      phase = 'leaving';
      for (const connection of connections.keys()) connection.leave();
    },
    drain: () => {
      phase = 'draining';
      server.close();
      for (const connection of connections.keys()) connection.drain();
    },
    closed: closed.promise,
    destroy: () => {
      for (const seat of [...crowd]) crowd.expel(seat);
    },
  };
}

/** How many connections there may be: what the configuration allows, as far as the system allows it. */
function capsOf({ settings: { limits }, room }: Entrance): CrowdLimits {
  return { connections: Math.min(limits.connections, room), perAddress: limits.connectionsPerAddress };
}

/** Whether handshakes go on as they are: then sessions may still be resumed. A reload reads all files again. */
function isSameHandshake(before: Entrance, after: Entrance): boolean {
  return (
    before.keepsDer === after.keepsDer &&
    before.settings.limits.handshakeTimeout === after.settings.limits.handshakeTimeout &&
    isDeepStrictEqual(before.settings.tls, after.settings.tls)
  );
}

/** When the next revocation list ends; never, where that is only warned of. */
function listEnd(tls: TlsSettings): number {
  const nowMs = Date.now();
  const lists = tls.clientCrlExpired === 'warn' ? [] : [tls, ...tls.hosts].flatMap((host) => host.clientCrl);
  const ends = lists.map(({ nextUpdateMs = Number.POSITIVE_INFINITY }) => nextUpdateMs);
  return Math.min(Number.POSITIVE_INFINITY, ...ends.filter((endMs) => endMs > nowMs));
}

function bound(server: Server, { address, port, reusePort }: Settings['listen']): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, reusePort, backlog: 4096 }, () => {
      server.off('error', reject);
      // Out of file descriptors: those that are open go on, and the next one may be accepted again.
      server.on('error', () => undefined);
      resolve();
    });
  });
}
