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
}

export interface ReceiverOptions {
  readonly key: string | Buffer;
  readonly cert: string | Buffer;
  readonly ca: string | Buffer;
  readonly clientCertificate: 'required' | 'optional';
  /** Never: the request is taken and not answered. */
  readonly answer: (request: Received) => PlannedAnswer | 'never';
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
    const { method = '', url: path = '', headers } = request;
    const client = socket.getPeerX509Certificate()?.subject.replace('CN=', '');
    const body = await buffer(request);
    const seen = {
      method,
      path,
      headers,
      body,
      client,
      alpn: socket.alpnProtocol !== false,
      connection: socket,
    };
    received.push(seen);
    const answer = options.answer(seen);
    if (answer === 'never') return;
    response.writeHead(answer.status, answer.headers);
    response.end();
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
