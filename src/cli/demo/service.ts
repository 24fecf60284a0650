import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The sample internal service: what webhooks are for, in a real system. */
export interface SampleService {
  readonly origin: string;
  /** The path of every request that reached it, in order. */
  readonly seen: readonly string[];
  close(): Promise<void>;
}

/** Everything under this path is answered with 500. */
export const FAILING_PATH = '/failing';

/** Starts the sample service on a free port of 127.0.0.1. */
export async function startService(): Promise<SampleService> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    request.resume().once('end', () => {
      seen.push(path);
      response.statusCode = path.startsWith(FAILING_PATH) ? 500 : 200;
      response.setHeader('content-type', 'application/json');
      response.end(
        response.statusCode === 200 ? '{"received":true}' : '{"error":"the sample service fails here"}',
      );
    });
  });
  const origin = await listen(server);
  return { origin, seen, close: () => close(server) };
}

/** An origin where nothing listens. */
export async function unusedOrigin(): Promise<string> {
  const server = createServer();
  const origin = await listen(server);
  await close(server);
  return origin;
}

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}
