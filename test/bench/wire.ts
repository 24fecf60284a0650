import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

export interface Answer {
  readonly status: number;
  /** The status line and the fields. */
  readonly head: string;
  /** As it stood on the wire: a chunked body still has its chunk lines. */
  readonly body: string;
}

/**
 * The sender's side of mutual TLS, from the files of `writeCertificates`. One protocol, one cipher and one group, so
 * that every gateway does the same work whatever its own order of preference is.
 */
export function loadIdentity(folder: string, withCertificate = true): SecureContext {
  const read = (name: string) => readFileSync(join(folder, name));
  const own = withCertificate ? { cert: read('client.pem'), key: read('client.key') } : {};
  return createSecureContext({
    ca: read('ca.pem'),
    ...own,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    ecdhCurve: 'X25519',
  });
}

/**
 * Opens one connection to a gateway on this machine, always with a full handshake. Rejects when the handshake fails or
 * takes longer than 10 s.
 */
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

/** Writes the buffers of one request, in one go. */
export function writeRequest(socket: TLSSocket, request: readonly Buffer[]): void {
  for (const piece of request) socket.write(piece);
}

/** Sends one request and waits for its answer. Rejects when there is none within 10 s. */
export function ask(socket: TLSSocket, request: readonly Buffer[]): Promise<Answer> {
  return new Promise<Answer>((resolve, reject) => {
    readAnswers(socket, resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed without an answer')));
    socket.setTimeout(10_000, () => reject(new Error('no answer within 10 s')));
    writeRequest(socket, request);
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
      const headEnd = answer.indexOf('\r\n\r\n');
      onAnswer({
        status: Number(answer.slice(9, 12)),
        head: answer.slice(0, headEnd),
        body: answer.slice(headEnd + 4),
      });
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
