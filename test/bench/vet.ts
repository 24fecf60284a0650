import type { SecureContext } from 'node:tls';
import { type Credentials, createSigner } from './event.ts';
import type { Peer } from './peers.ts';
import { type Answer, loadIdentity, openConnection, readAnswers } from './wire.ts';

/**
 * Proves that a gateway does the job before it is timed: the good request passes and reaches the upstream, and the
 * nearest bad ones are refused, each for its own reason. Throws with what was wrong.
 */
export async function vet(
  peer: Peer,
  certificates: string,
  credentials: Credentials,
  claims: boolean,
): Promise<void> {
  const sign = createSigner(credentials);
  const identity = loadIdentity(certificates);
  const expect = async (what: string, request: Buffer, status: number, body?: string) => {
    const answer = await ask(peer.port, identity, request);
    if (answer.status === status && (body === undefined || answer.body === body)) return;
    throw new Error(
      `${peer.name}: ${what}: expected ${status} ${body ?? ''}, got ${answer.status} ${answer.body}`,
    );
  };
  const good = sign();
  await expect('a good request', good, 200, '{"received":true}');
  // A duplicate is acknowledged without a body and never reaches the upstream.
  await expect('the same event again', good, 200, claims ? '' : '{"received":true}');
  await expect('a wrong signature', sign('signature'), 401);
  await expect('a stale timestamp', sign('timestamp'), 401);
  await expect('a wrong bearer', sign('bearer'), 401);
  await expectAlert(peer, loadIdentity(certificates, false), sign());
}

/** In TLS 1.3 the client's handshake is over before the server has missed the certificate: the alert comes after it. */
async function expectAlert(peer: Peer, identity: SecureContext, request: Buffer): Promise<void> {
  const said = await ask(peer.port, identity, request).then(
    (answer) => `status ${answer.status}`,
    (error: NodeJS.ErrnoException) => error.code ?? error.message,
  );
  if (!/ALERT.*CERTIFICATE/.test(said)) {
    throw new Error(`${peer.name}: no client certificate: expected a TLS alert, got ${said}`);
  }
}

async function ask(port: number, identity: SecureContext, request: Buffer): Promise<Answer> {
  const socket = await openConnection(port, identity);
  try {
    return await new Promise<Answer>((resolve, reject) => {
      readAnswers(socket, resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed without an answer')));
      socket.setTimeout(10_000, () => reject(new Error('no answer within 10 s')));
      socket.write(request);
    });
  } finally {
    socket.destroy();
  }
}
