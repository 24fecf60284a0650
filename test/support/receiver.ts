import { once } from 'node:events';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';

/** What a receiver saw of one request. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Names as they were written, each followed by its value. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  /** The CN of the client certificate; `undefined`: there was none. */
  readonly client: string | undefined;
  /** Whether the sender offered a protocol by ALPN. */
  readonly alpn: boolean;
  /** Tells connections apart. */
  readonly connection: TLSSocket;
}

export interface PlannedAnswer {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  /** The answer's body begins and does not end. */
  readonly endless?: boolean;
}

type MaybeAnswer = PlannedAnswer | 'never' | 'break';

export interface ReceiverOptions {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  readonly ca: string | Buffer;
  readonly clientCertificate: 'required' | 'optional';
  /** Never: the request is taken and not answered; break: the connection is closed instead. */
  readonly answer: (request: Received) => MaybeAnswer | Promise<MaybeAnswer>;
}

/** An HTTPS server that keeps what it receives and answers as told. */
export interface Receiver {
  readonly origin: string;
  readonly received: readonly Received[];
  close(): Promise<void>;
}

export async function startReceiver(options: ReceiverOptions): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer({
    key: options.key,
    cert: options.cert,
    ca: options.ca,
    requestCert: true,
    rejectUnauthorized: options.clientCertificate === 'required',
    ALPNProtocols: ['http/1.1'],
  });
  server.on('request', async (request, response) => {
    const socket = request.socket as TLSSocket;
    const { method = '', url: path = '', headers, rawHeaders } = request;
    const client = socket.getPeerX509Certificate()?.subject.replace('CN=', '');
    const body = await buffer(request);
    const seen = {
      method,
      path,
      headers,
      rawHeaders,
      body,
      client,
      alpn: socket.alpnProtocol !== false,
      connection: socket,
    };
    received.push(seen);
    const answer = await options.answer(seen);
    if (answer === 'never') return;
    if (answer === 'break') {
      socket.destroy();
      return;
    }
    response.writeHead(answer.status, answer.headers);
    if (answer.endless) response.write('and so on');
    else response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    origin: `https://localhost:${(server.address() as AddressInfo).port}`,
    received,
    async close() {
      if (!server.listening) return;
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
