/** A service that takes requests on the port it is told and never answers: what is delivered to it stays under way. */
import { createServer } from 'node:net';

createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.resume();
}).listen(Number(process.argv[2]), '127.0.0.1');
