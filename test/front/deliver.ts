import { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { BodyBudget } from '../../src/body.ts';
import { Connection } from '../../src/listen/connection.ts';
import { Crowd, type Seat } from '../../src/listen/crowd.ts';
import { factsOf } from '../../src/reasons.ts';
import type { Handler, Peer, Refusal, Reply } from '../../src/types.ts';
import type { Reading } from './read.ts';

/** What came of the bytes of one connection, less what may vary. */
export interface Outcome {
  /** The requests that were handed on, each with its whole body. */
  readonly given: readonly Reading[];
  /** Reasons, in order: of heads, of targets, of bodies. */
  readonly refused: readonly string[];
  /** The bytes of all answers, as latin1; without Date, and without 100, which is spared where the body is there. */
  readonly answered: string;
  /** Whether the front ended the connection before the sender did. */
  readonly ended: boolean;
}

/** Between two pieces: nothing, so that they arrive in one turn; or until the front has done all it can. */
export type Pace = 'at once' | 'one by one';

const PEER: Peer = {
  address: '127.0.0.1',
  addressValue: 0x7f000001,
  certificate: undefined,
  host: '',
  certificateError: undefined,
};
const LIMITS = { headerTimeout: 10_000, bodyTimeout: 10_000, idleTimeout: 10_000 };
const NO_LIMITS = { connections: 1, perAddress: undefined };
const LIMIT_BYTES = 64 * 1024;
/** A request for this is refused at its head, its body unread; one for the other has a body of 8 bytes at most. */
const REFUSED_PATH = '/refused';
const SMALL_PATH = '/small';
const SMALL_BYTES = 8;

/** Hands the pieces to a connection of the front as a TLS socket would; no time passes for its timeouts. */
export async function deliver(pieces: readonly Buffer[], pace: Pace): Promise<Outcome> {
  let changes = 0;
  let answered = '';
  const given: Reading[] = [];
  const refused: string[] = [];
  const refuse = ({ reason }: Refusal): Reply | undefined => {
    refused.push(reason);
    const { status, closes = false } = factsOf(reason);
    return status === 0 ? undefined : { status, headers: [], body: Buffer.from(reason), close: closes };
  };
  const handler: Handler = {
    handle: async ({ method, path, query, headers }, sender) => {
      changes += 1;
      if (path === REFUSED_PATH) return refuse({ reason: 'certificate.not_allowed' });
      const limitBytes = path === SMALL_PATH ? SMALL_BYTES : LIMIT_BYTES;
      const body = await sender.readBody(limitBytes, Number.POSITIVE_INFINITY);
      sender.releaseBody();
      if (!Buffer.isBuffer(body)) return refuse(body);
      given.push({ method, target: path + query, fields: headers, body: body.toString('latin1') });
      return { status: 200, headers: [], body: Buffer.from('ok'), close: false };
    },
    refuseUnread: refuse,
    refuseConnection: () => undefined,
  };
  const socket = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      changes += 1;
      answered += chunk.toString('latin1');
      done();
    },
  });
  const settle = async (): Promise<void> => {
    for (let before = -1; before !== changes; ) {
      before = changes;
      await new Promise(setImmediate);
    }
  };
  // The front uses nothing of a TLS socket but what every stream has.
  const tlsSocket = socket as unknown as TLSSocket;
  new Connection(tlsSocket, {
    shared: { handler, budget: new BodyBudget(2 * LIMIT_BYTES), limits: LIMITS, resolvePeer: undefined },
    peer: PEER,
    seat: new Crowd(NO_LIMITS, () => undefined).enter('127.0.0.1', () => undefined) as Seat,
  });
  await settle();
  for (const piece of pieces) {
    socket.push(piece);
    if (pace === 'one by one') await settle();
  }
  await settle();
  const ended = socket.writableEnded || socket.destroyed;
  socket.push(null);
  await settle();
  socket.destroy();
  const lasting = answered.replace(/\r\ndate: [^\r]+/g, '').replaceAll('HTTP/1.1 100 Continue\r\n\r\n', '');
  return { given, refused, answered: lasting, ended };
}
