import type { SecureContext } from 'node:tls';
import { type Credentials, createSigner, type EventShape } from './event.ts';
import { PEERS, type PeerName } from './peers.ts';
import { type Answer, ask, loadIdentity, openConnection } from './wire.ts';

export interface VetOptions {
  /** The folder of the certificates. */
  readonly certificates: string;
  readonly credentials: Credentials;
  readonly shape: EventShape;
  /** Whether it says yes before the upstream does. */
  readonly isQueue: boolean;
}

/** What passes has come from the upstream. */
const PASSED = '{"received":true}';
const TRIES = 20;

/**
 * Proves that a gateway does the job before it is timed: the good request passes and reaches the upstream, and the
 * nearest bad ones are refused, each for its own reason. One that cannot check a signature must be seen to lack
 * nothing else. Throws with what was wrong.
 */
export async function vet(
  peer: { readonly name: PeerName; readonly port: number },
  { certificates, credentials, shape, isQueue }: VetOptions,
): Promise<void> {
  const { title, signs, claims, withoutCertificate } = PEERS[peer.name];
  const sign = createSigner(credentials, shape);
  const identity = loadIdentity(certificates);
  const expect = async (what: string, request: readonly Buffer[], status: number, body?: string) => {
    const answer = await knock(peer.port, identity, request);
    if (answer.status === status && (body === undefined || answer.body === body)) return;
    throw new Error(
      `${title}: ${what}: expected ${status} ${body ?? ''}, got ${answer.status} ${answer.body}`,
    );
  };
  const good = sign();
  if (isQueue) await expect('a good request', good, 202, '');
  else await expect('a good request', good, 200, PASSED);
  // A duplicate is acknowledged without a body and never reaches the upstream.
  await expect('the same event again', good, 200, claims ? '' : PASSED);
  await expect('a wrong bearer', sign('bearer'), 401);
  if (signs) {
    await expect('a wrong signature', sign('signature'), 401);
    await expect('a stale timestamp', sign('timestamp'), 401);
  }
  // A small one whatever the shape: a large one would still be on its way when the alert comes.
  const askWithout = () =>
    knock(peer.port, loadIdentity(certificates, false), createSigner(credentials)()).then(
      (answer) => `status ${answer.status}`,
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
  let said = await askWithout();
  // On a busy machine a connection may be closed before its alert has gone out.
  for (let tries = 1; tries < TRIES && !withoutCertificate.test(said); tries += 1) said = await askWithout();
  if (!withoutCertificate.test(said)) throw new Error(`${title}: no client certificate: got ${said}`);
}

async function knock(port: number, identity: SecureContext, request: readonly Buffer[]): Promise<Answer> {
  const socket = await openConnection(port, identity);
  try {
    return await ask(socket, request);
  } finally {
    socket.destroy();
  }
}
