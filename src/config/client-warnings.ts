import { isToldByCertificate } from '../clients.ts';
import { answerDeadlineMs } from '../deadline.ts';
import type { RouteSettings } from '../settings.ts';
import { ofSignatureKeys } from './secret-warnings.ts';

/** What is legal but unwise about a route's clients; never holds a secret. */
export function ofClients({ clients, signature, sender, deliver, late, reported }: RouteSettings): string[] {
  if (clients === undefined) return [];
  const { known, mode, unknown } = clients;
  const warnings: string[] = [];
  if (mode === 'report')
    warnings.push(
      'clients.mode: report lets in a client that names itself as another, and one that is not known; it is recorded only',
    );
  const unbound = known.filter((client) => !isToldByCertificate(client, known)).map(({ id }) => id);
  if (reported.includes('signature') && unbound.length > 0)
    warnings.push(
      `signature: mode report lets anybody who is let in speak for the clients that only their secrets prove: ${unbound.join(', ')}`,
    );
  const isOwn = signature?.keys.length !== 0 && known.every(({ keys }) => keys !== undefined);
  if (signature !== undefined && isOwn && unknown === 'refuse')
    warnings.push(
      'signature: every client has secrets of its own, so nobody is let in by those of the route; remove them',
    );
  const leftMs = answerDeadlineMs(sender);
  for (const [index, { keys = [], upstream }] of known.entries()) {
    const place = `clients.known[${index}]`;
    warnings.push(...ofSignatureKeys(`${place}.secrets`, keys));
    if (
      deliver === 'forward' &&
      late === 'timeout' &&
      sender !== undefined &&
      (upstream.timeoutMs ?? 0) > leftMs
    )
      warnings.push(
        `${place}: the upstream ${upstream.name} may take ${(upstream.timeoutMs ?? 0) / 1000}s, but ${sender.name} leaves ${leftMs / 1000}s; the sender gets 504 before that`,
      );
  }
  return warnings;
}
