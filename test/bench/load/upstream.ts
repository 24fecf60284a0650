/** A service of Node alone: answers each request with a small JSON, on the port it is told. For where nginx is not needed. */
import { createServer } from 'node:net';

const ANSWER =
  'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"received":true}';

const server = createServer({ noDelay: true }, (socket) => {
  let unread = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    unread += chunk.toString('latin1');
    for (let end = endOf(unread); end !== undefined && end <= unread.length; end = endOf(unread)) {
      unread = unread.slice(end);
      socket.write(ANSWER, 'latin1');
    }
  });
});
server.listen(Number(process.argv[2]), '127.0.0.1', 4096);

/** Where the first request ends, its body included; `undefined` while its head is not all there. */
function endOf(text: string): number | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, headEnd))?.[1];
  return headEnd + 4 + Number(length ?? 0);
}
