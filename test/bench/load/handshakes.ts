/** A load process: each event over a connection of its own, opened by a full handshake and closed after the answer. */
import { createSigner } from '../event.ts';
import { ask, loadIdentity, openConnection } from '../wire.ts';
import { agreedTls, serveLoad, Tally } from './process.ts';

await serveLoad(async (plan) => {
  const sign = createSigner(plan.credentials, plan.shape);
  const requests = Array.from({ length: plan.requests }, () => sign());
  const identity = loadIdentity(plan.certificates);
  return async () => {
    const tally = new Tally();
    let tls = '';
    let sent = 0;
    const knock = async () => {
      for (let request = requests[sent++]; request !== undefined; request = requests[sent++]) {
        const sentMs = performance.now();
        const socket = await openConnection(plan.port, identity);
        const { status } = await ask(socket, request);
        tally.add(status, sentMs);
        tls = agreedTls(socket);
        socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: plan.atOnce }, knock));
    return tally.result(tls);
  };
});
