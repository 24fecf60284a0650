import http from 'node:http';
import type { Gateway } from './gateway.ts';

/** The status of `/readyz` on the gateway's admin listener. */
export function readiness(gateway: Gateway): Promise<number> {
  return new Promise((resolve, reject) => {
    const { port } = gateway.admin as { port: number };
    http
      .get({ host: '127.0.0.1', port, path: '/readyz', agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
      .on('error', reject);
  });
}
