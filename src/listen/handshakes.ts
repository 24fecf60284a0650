import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { RevocationList, TlsHost, TlsSettings } from '../tls-settings.ts';
import type { Peer, Refusal } from '../types.ts';
import type { Newcomer } from './accept.ts';
import { type FindIssuers, issuerFinder } from './chain.ts';
import { certificateRefusal, identify, KnownCertificates } from './identify.ts';
import { leaveTimeForAlert } from './last-word.ts';
import { type CheckRevocation, revocationCheck } from './revocation.ts';
import { type Trust, trustFinder } from './trust.ts';

export interface HandshakeOptions {
  readonly tls: TlsSettings;
  readonly timeoutMs: number;
  /** Whether any route hands the client's certificate on. */
  readonly keepsDer: boolean;
  readonly done: (socket: TLSSocket, newcomer: Newcomer, peer: Peer, trust: Trust) => void;
  readonly refused: (refusal: Refusal, address: string) => void;
  /** Failed for another reason than the client's certificate: a scanner, a wrong protocol, a timeout. */
  readonly failed: (address: string, code: string) => void;
}

/** TLS under one state of certificates and client trust; another state is another of these. */
export interface Handshakes {
  /** Begins a handshake on a connection; whose it is, is told beforehand. */
  begin(newcomer: Newcomer): void;
}

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

/** @throws Error where OpenSSL does not take a certificate, a key or a list */
export function openHandshakes(options: HandshakeOptions): Handshakes {
  const { tls, keepsDer, done, refused, failed } = options;
  const find = trustFinder(tls);
  const known = new KnownCertificates();
  const judges = new Map<TlsHost, Judge>();
  for (const host of [tls, ...tls.hosts])
    judges.set(host, { issuersOf: issuerFinder(host.clientCa), revocation: ownCheckOf(host, tls) });
  const newcomers = new WeakMap<Socket, Newcomer>();
  const server = serverFor(options, find);

  server.on('secureConnection', (socket) => {
    const newcomer = newcomerOf(socket, newcomers);
    if (newcomer === undefined) return void socket.destroy();
    const { address } = newcomer.seat;
    try {
      const trust = trustOf(socket, find);
      const judge = judges.get(trust.settings) as Judge;
      const peer = identify(socket, { address, host: trust.host, keepsDer, known, ...judge });
      if (peer.certificate !== undefined || trust.settings.clientCertificate === 'optional') {
        done(socket, newcomer, peer, trust);
        return;
      }
      // Where hosts differ OpenSSL lets all of them finish; and a resumed session is judged by nobody else.
      refused(peer.certificateError ?? MISSING, address);
    } catch (error) {
      // A socket that nobody looks after would be open for good.
      failed(address, String(error));
    }
    socket.destroy();
  });

  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const newcomer = newcomerOf(socket, newcomers);
    const { address = '', isExpelled = false } = newcomer?.seat ?? {};
    if (isExpelled) return;
    if (newcomer !== undefined && error.code?.startsWith('ERR_SSL_')) {
      // Its handshake is over: what is left of it must keep no other from beginning.
      newcomer.seat.moveTo('idle', performance.now());
      leaveTimeForAlert(newcomer.socket);
    }
    const code = error.code ?? error.message;
    const rejected: unknown = socket.authorizationError;
    if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') refused(MISSING, address);
    else if (rejected) refused(explained(rejected, trustOf(socket, find)), address);
    else failed(address, code);
    socket.destroy();
  });

  return {
    begin: (newcomer) => {
      newcomers.set(newcomer.socket, newcomer);
      server.emit('connection', newcomer.socket);
    },
  };
}

/** What a client's chain is found and judged by, at one host. */
interface Judge {
  readonly issuersOf: FindIssuers;
  readonly revocation: CheckRevocation | undefined;
}

const MISSING: Refusal = Object.freeze({ reason: 'certificate.missing' });

function serverFor({ tls, timeoutMs }: HandshakeOptions, find: (name: string) => Trust): Server {
  const hosts = [tls, ...tls.hosts];
  const contexts = new Map(tls.hosts.map((host) => [host, createSecureContext(contextOptions(host, tls))]));
  const decide: TlsOptions['SNICallback'] = (name, done) =>
    done(null, contexts.get(find(name.toLowerCase()).settings));
  return createServer({
    ...contextOptions(tls, tls),
    requestCert: true,
    rejectUnauthorized: hosts.every(({ clientCertificate }) => clientCertificate === 'required'),
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: timeoutMs,
    ...(contexts.size === 0 ? {} : { SNICallback: decide }),
  });
}

function contextOptions(host: TlsHost, tls: TlsSettings): TlsOptions {
  const lists = isOwnCheck(host, tls) ? [] : host.clientCrl;
  // A session made with one host can be resumed at another, with the client trust of neither in question.
  const tickets = tls.hosts.length === 0 ? 0 : constants.SSL_OP_NO_TICKET;
  return {
    key: host.privateKey,
    cert: host.certificate,
    ca: [...host.clientCa],
    ...(lists.length === 0 ? {} : { crl: lists.map(({ pem }) => pem) }),
    minVersion: tls.minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: CIPHERS,
    // The hybrid is post-quantum; P-256 and P-384 are for clients, and certificates, that know nothing newer.
    ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
    honorCipherOrder: true,
    // A second handshake inside a connection could change who the peer is.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | tickets,
  };
}

/** OpenSSL refuses every client of an authority whose list has ended: where that shall only be warned of, we look. */
function isOwnCheck({ clientCrl }: TlsHost, { clientCrlExpired }: TlsSettings): boolean {
  return clientCrlExpired === 'warn' && clientCrl.length > 0;
}

function ownCheckOf(host: TlsHost, tls: TlsSettings): CheckRevocation | undefined {
  return isOwnCheck(host, tls) ? revocationCheck(host.clientCrl) : undefined;
}

/** The trust that a handshake was judged by. Without SNI, and in a resumed session of TLS 1.2, there is no name. */
function trustOf(socket: TLSSocket, find: (name: string) => Trust): Trust {
  const name: unknown = (socket as { servername?: unknown }).servername;
  return find(typeof name === 'string' ? name.toLowerCase() : '');
}

/** What OpenSSL says of revocation lists names none of them. */
function explained(error: unknown, { settings }: Trust): Refusal {
  const refusal = certificateRefusal(error);
  const { detail = '' } = refusal;
  if (detail === 'CRL_HAS_EXPIRED') return { ...refusal, detail: `${detail}: ${endedLists(settings)}` };
  if (detail === 'UNABLE_TO_GET_CRL')
    return {
      ...refusal,
      detail: `${detail}: client_crl has no list of an authority of its chain, only of ${issuersOf(settings.clientCrl)}`,
    };
  if (refusal.reason === 'certificate.revoked')
    return { ...refusal, detail: `listed by ${issuersOf(settings.clientCrl)}` };
  return refusal;
}

function endedLists({ clientCrl }: TlsHost): string {
  const nowMs = Date.now();
  const ended = clientCrl.filter(({ nextUpdateMs }) => nextUpdateMs !== undefined && nextUpdateMs <= nowMs);
  const names = ended.map(
    ({ issuer, file, nextUpdateMs = 0 }) =>
      `the list of ${issuer} in ${file} ended on ${new Date(nextUpdateMs).toISOString()}`,
  );
  return names.join('; ');
}

function issuersOf(lists: readonly RevocationList[]): string {
  return lists.map(({ issuer, file }) => `${issuer} (${file})`).join(', ');
}

/** Whose connection it is, as it was when it was accepted: a socket that is gone has no address. */
function newcomerOf(socket: TLSSocket, newcomers: WeakMap<Socket, Newcomer>): Newcomer | undefined {
  const parent = (socket as unknown as { _parent?: Socket })._parent;
  return parent && newcomers.get(parent);
}
