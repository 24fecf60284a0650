/**
 * A service that answers as many requests as it is told, by a message with their number, and holds all others; it says
 * how long that took, in seconds. On the port it is told.
 */
import { createServer, type Socket } from 'node:net';

const ANSWER = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const held = new Set<Socket>();
let left = 0;
let beganMs = 0;

const server = createServer({ noDelay: true }, (socket) => {
  let unread = '';
  socket.on('error', () => socket.destroy());
  socket.on('close', () => held.delete(socket));
  socket.on('data', (chunk) => {
    unread += chunk.toString('latin1');
    // Deliveries come one at a time on each connection.
    if (unread.length < (endOf(unread) ?? Number.POSITIVE_INFINITY)) return;
    unread = '';
    held.add(socket);
    answerSome();
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1');
process.on('message', (count) => {
  left = Number(count);
  beganMs = performance.now();
  answerSome();
});
process.once('disconnect', () => process.exit(0));

function answerSome(): void {
  for (const socket of held) {
    if (left === 0) return;
    left -= 1;
    held.delete(socket);
    socket.write(ANSWER, 'latin1');
    if (left === 0) process.send?.((performance.now() - beganMs) / 1000);
  }
}

/** Where the request ends, its body included; `undefined` while its head is not all there. */
function endOf(text: string): number | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1];
  return headEnd + 4 + Number(length ?? 0);
}
