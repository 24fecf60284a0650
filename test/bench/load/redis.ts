/** A load process for Redis alone: pushes the bytes of events onto a list, each connection with one push at a time. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createSigner } from '../event.ts';
import { type LoadResult, serveLoad, Tally } from './process.ts';

const LIST = 'bench';
/** https://redis.io/docs/latest/develop/reference/protocol-spec/: an integer, the length of the list. */
const PUSHED = /^:\d+\r\n$/;
const STATUS = { pushed: 202, failed: 500 };

await serveLoad(async ({ port, connections, credentials, shape, requests }) => {
  const sign = createSigner(credentials, shape);
  const pushes = Array.from({ length: requests }, () => pushOf(Buffer.concat(sign())));
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port)));
  return () => pushAll(pushes, sockets);
});

function pushOf(event: Buffer): Buffer {
  const head = `*3\r\n$5\r\nLPUSH\r\n$${LIST.length}\r\n${LIST}\r\n$${event.length}\r\n`;
  return Buffer.concat([Buffer.from(head), event, Buffer.from('\r\n')]);
}

async function open(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  return socket;
}

function pushAll(pushes: readonly Buffer[], sockets: readonly Socket[]): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const tally = new Tally();
    let sent = 0;
    for (const socket of sockets) {
      let sentMs = 0;
      const send = () => {
        const push = pushes[sent];
        if (push === undefined) return;
        sent += 1;
        sentMs = performance.now();
        socket.write(push);
      };
      socket.on('data', (answer: Buffer) => {
        tally.add(PUSHED.test(answer.toString('latin1')) ? STATUS.pushed : STATUS.failed, sentMs);
        if (tally.count === pushes.length) resolve(tally.result('none'));
        send();
      });
      socket.once('error', reject);
      socket.once('close', () => reject(new Error(`a connection closed after ${tally.count} answers`)));
      send();
    }
  });
}
