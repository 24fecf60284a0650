import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

export interface Answer {
  readonly status: number;
  /** As it stood on the wire: a chunked body still has its chunk lines. */
  readonly body: string;
}

/** The sender's side of mutual TLS, from the files of `writeCertificates`. */
export function loadIdentity(folder: string, withCertificate = true): SecureContext {
  const read = (name: string) => readFileSync(join(folder, name));
  const own = withCertificate ? { cert: read('client.pem'), key: read('client.key') } : {};
  return createSecureContext({ ca: read('ca.pem'), ...own });
}

/** Opens one connection to a gateway on this machine. Rejects when the handshake fails or takes longer than 10 s. */
export function openConnection(port: number, secureContext: SecureContext): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, secureContext });
    const late = setTimeout(() => socket.destroy(new Error('no handshake within 10 s')), 10_000);
    socket.once('close', () => clearTimeout(late));
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      clearTimeout(late);
      socket.off('error', reject);
      socket.setNoDelay(true);
      resolve(socket);
    });
  });
}

/** Calls `onAnswer` for every whole answer. Understands what the gateways of this bench send, and throws at the rest. */
export function readAnswers(socket: TLSSocket, onAnswer: (answer: Answer) => void): void {
  let unread = '';
  socket.on('data', (chunk: Buffer) => {
    unread += chunk.toString('latin1');
    for (let end = findEnd(unread); end !== undefined; end = findEnd(unread)) {
      const answer = unread.slice(0, end);
      unread = unread.slice(end);
      onAnswer({ status: Number(answer.slice(9, 12)), body: answer.slice(answer.indexOf('\r\n\r\n') + 4) });
    }
  });
}

/** Where the first answer ends, or `undefined` while it is not all there. */
function findEnd(text: string): number | undefined {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd < 0) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text);
  if (length !== null && length.index < headEnd) {
    const end = headEnd + 4 + Number(length[1]);
    return end <= text.length ? end : undefined;
  }
  if (!/\r\ntransfer-encoding: *chunked/i.test(text.slice(0, headEnd)))
    throw new Error(`an answer without a length: ${text}`);
  // The search starts at the head's last line end, so that an empty body is found too.
  const last = text.indexOf('\r\n0\r\n\r\n', headEnd + 2);
  return last < 0 ? undefined : last + 7;
}
