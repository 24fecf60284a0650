import { constants } from 'node:crypto';
import { createServer as createNetServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { parseAddress, withoutZoneAndMapping } from '../addresses.ts';
import type { BodyBudget } from '../body.ts';
import type { Settings, TlsSettings } from '../settings.ts';
import type { AddressValue, Handler } from '../types.ts';
import { Connection } from './connection.ts';
import { certificateReason, identify } from './identify.ts';

export interface ListenOptions {
  readonly settings: Pick<Settings, 'listen' | 'tls' | 'limits'>;
  readonly handler: Handler;
  readonly budget: BodyBudget;
  readonly admits: (address: AddressValue) => boolean;
  /** Whether any route hands the client's certificate on. */
  readonly keepsDer: boolean;
  /** A connection beyond `limits.connections`, dropped. */
  readonly full: (address: string) => void;
  /** A handshake that failed for another reason than its certificate: a scanner, a wrong protocol, a timeout. */
  readonly failedHandshake: (address: string, code: string) => void;
}

export interface Listener {
  readonly address: string;
  readonly port: number;
  connections(): number;
  /** Accepts nothing more, closes idle connections and the others after their answers. */
  drain(): void;
  /** Resolves once the last connection is closed. */
  readonly closed: Promise<void>;
  destroy(): void;
}

const SWEEP_MS = 100;

/** Forward secrecy and authenticated encryption only; the shorter AES first, since it is the faster. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/**
 * Listens for senders. Resolves once connections are accepted.
 * @throws Error where the address cannot be bound
 */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { settings, handler, budget, admits, keepsDer, failedHandshake, full } = options;
  const { limits } = settings;
  const connections = new Set<Connection>();
  const sockets = new Set<Socket>();
  const addresses = new WeakMap<Socket, string>();
  const handshakes = createTlsServer(tlsOptions(settings.tls, limits.handshakeTimeout));
  let draining = false;

  handshakes.on('secureConnection', (socket) => {
    const address = addressOf(socket, addresses);
    try {
      admit(socket, address);
    } catch (error) {
      // A socket that nobody looks after would be open for good.
      failedHandshake(address, String(error));
      socket.destroy();
    }
  });

  function admit(socket: TLSSocket, address: string): void {
    const peer = identify(socket, address, keepsDer);
    if (settings.tls.clientCertificate === 'required' && peer.certificate === undefined) {
      // A resumed session could come without what the first handshake insisted on.
      handler.refuseConnection({ reason: peer.certificateError ?? 'certificate.missing' }, address);
      socket.destroy();
      return;
    }
    // Only now: a handshake whose client has hung up would stay until its timeout.
    socket.allowHalfOpen = true;
    const connection = new Connection(socket, { handler, peer, budget, limits });
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
    if (draining) connection.drain();
  }

  handshakes.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const address = addressOf(socket, addresses);
    const code = error.code ?? error.message;
    const missing = code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';
    const rejected = socket.authorizationError as unknown;
    socket.destroy();
    if (missing || rejected) {
      const detail = missing ? undefined : String(rejected);
      handler.refuseConnection({ reason: certificateReason(!missing, rejected), detail }, address);
    } else {
      failedHandshake(address, code);
    }
  });

  const server = createNetServer({ noDelay: true }, (socket) => {
    const address = withoutZoneAndMapping(socket.remoteAddress ?? '');
    const value = parseAddress(address);
    if (value === undefined) return socket.destroy();
    if (!admits(value)) {
      handler.refuseConnection({ reason: 'address.not_allowed' }, address);
      return socket.destroy();
    }
    addresses.set(socket, address);
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    handshakes.emit('connection', socket);
    return socket;
  });
  server.maxConnections = limits.connections;
  server.on('drop', (dropped) => full(withoutZoneAndMapping(dropped?.remoteAddress ?? '')));
  await bound(server, settings.listen);

  const sweeping = setInterval(() => {
    const nowMs = performance.now();
    for (const connection of connections) connection.alarm.sweep(nowMs);
  }, SWEEP_MS);
  const closed = Promise.withResolvers<void>();
  server.on('close', () => {
    clearInterval(sweeping);
    closed.resolve();
  });
  const { port } = server.address() as { port: number };
  return {
    address: settings.listen.address,
    port,
    connections: () => connections.size,
    drain: () => {
      draining = true;
      server.close();
      for (const connection of connections) connection.drain();
    },
    closed: closed.promise,
    destroy: () => {
      for (const connection of connections) connection.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function tlsOptions(tls: TlsSettings, handshakeTimeout: number): TlsOptions {
  return {
    key: tls.privateKey,
    cert: tls.certificate,
    ca: [...tls.clientCa],
    requestCert: true,
    rejectUnauthorized: tls.clientCertificate === 'required',
    minVersion: tls.minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    // The hybrid is post-quantum; P-256 and P-384 are for clients, and certificates, that know nothing newer.
    ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
    honorCipherOrder: true,
    // A second handshake inside a connection could change who the peer is.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout,
  };
}

/** The address as it was when the connection was accepted: a socket that is gone has none. */
function addressOf(socket: TLSSocket, addresses: WeakMap<Socket, string>): string {
  const parent = (socket as unknown as { _parent?: Socket })._parent;
  return (parent && addresses.get(parent)) ?? withoutZoneAndMapping(socket.remoteAddress ?? '');
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
