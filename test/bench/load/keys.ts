/**
 * A load process that shows a gateway many rate-limit keys, fast: each request carries a key of its own and no
 * signature, so it is counted and then refused with 401. Many are written at once, the answers come in order.
 */
import type { TLSSocket } from 'node:tls';
import { type Credentials, keyValue } from '../event.ts';
import { loadIdentity, openConnection, readAnswers } from '../wire.ts';
import { agreedTls, serveLoad, Tally } from './process.ts';

const BATCH = 16;

await serveLoad(async ({ certificates, connections, credentials, port, requests }) => {
  const identity = loadIdentity(certificates);
  const sockets = await Promise.all(
    Array.from({ length: connections }, () => openConnection(port, identity)),
  );
  return async () => {
    const tally = new Tally();
    let next = 0;
    const takeBatch = (): string => {
      const first = next;
      next = Math.min(next + BATCH, requests);
      return Array.from({ length: next - first }, (_, place) => requestOf(credentials, first + place)).join(
        '',
      );
    };
    await Promise.all(sockets.map((socket) => sendBatches(socket, takeBatch, tally)));
    return tally.result(agreedTls(sockets[0] as TLSSocket));
  };
});

function sendBatches(socket: TLSSocket, takeBatch: () => string, tally: Tally): Promise<void> {
  return new Promise((resolve, reject) => {
    let waiting = 0;
    const sendNext = () => {
      const batch = takeBatch();
      if (batch === '') return resolve();
      waiting = Math.min(BATCH, batch.split('\r\n\r\n').length - 1);
      return void socket.write(batch, 'latin1');
    };
    readAnswers(socket, ({ status }) => {
      tally.add(status, performance.now());
      waiting -= 1;
      if (waiting === 0) sendNext();
    });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`a connection closed after ${tally.count} answers`)));
    sendNext();
  });
}

function requestOf({ bearer }: Credentials, place: number): string {
  return `POST /codat/events HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: Bearer ${bearer}\r\nx-bench-key: ${keyValue(place)}\r\n\r\n`;
}
