import type { ClientsSettings } from '../client-settings.ts';
import { fieldValue } from '../fields.ts';
import type { RouteSettings, SignatureSettings } from '../settings.ts';
import type { SignatureKey } from '../signature-settings.ts';
import { type Check, type Message, PASS, type Pass, type Verdict } from '../types.ts';
import { clientChecks } from './client.ts';
import { signatureCheck } from './signature.ts';

/**
 * How much is done to find out whose a signature is that does not hold: no stranger shall have a thousand clients'
 * secrets tried on a large body for the price of one request. What is not found so is refused like any signature that
 * does not hold. A secret counts as one; a public key as more, since it is tried on each of up to 64 signatures.
 */
const MOST_LOAD = 32;
const LOAD = { v1: 1, v1a: 16 };
/** Of bodies, in all, each as often as it is read. */
const MOST_BYTES = 2 * 1024 * 1024;

/** A key by which somebody of the route may sign. */
interface Signer {
  /** `undefined`: the route's own. */
  readonly client: string | undefined;
  readonly key: SignatureKey;
  readonly check: Check<Message>;
}

/** Of each route, compiled once for all of its clients. */
const compiled = new WeakMap<ClientsSettings, readonly Signer[]>();

/**
 * Binds a signature to the client that a request names: a message that somebody else of this route has signed is a
 * `client.mismatch`. Such a message has proved nothing, whatever the mode, so it claims nothing.
 * @param own the check by the keys that such a request must be signed by; it may be in report mode itself
 */
export function clientSignature(own: Check<Message>, route: RouteSettings): Check<Message> {
  const { clients, client, signature } = route;
  if (clients === undefined || signature === undefined) return own;
  const others = affordable(signersOf(clients, signature), signature);
  // That no such client is known is said by the check of the client: whoever has signed is no stranger.
  const isUnknown = client === undefined && clients.unknown === 'refuse';
  // In report mode it is let in with another's certificate, and what it claimed would be lost to the client itself.
  const misnamed = client !== undefined && clients.mode === 'report' ? clientChecks(route) : [];
  const told = (verdict: Verdict, message: Message): Verdict => {
    if (verdict.reason === undefined && misnamed.some(({ examine }) => isReported(examine(message)))) {
      const { messageId: _, ...rest } = verdict;
      return rest;
    }
    const refusal = verdict.reason === undefined ? verdict.wouldRefuse : verdict;
    if (refusal?.reason !== 'signature.mismatch') return verdict;
    const signer = signerAmong(others, message, signature);
    if (signer === undefined) return verdict;
    if (isUnknown) return PASS;
    const whose = signer.client === undefined ? 'the route' : `the client ${signer.client}`;
    const mismatch = { reason: 'client.mismatch', detail: `signed by a secret of ${whose}` } as const;
    return clients.mode === 'report' ? { wouldRefuse: mismatch } : mismatch;
  };
  return {
    ...own,
    examine: (message) => {
      const answer = own.examine(message);
      return answer instanceof Promise
        ? answer.then((verdict) => told(verdict, message))
        : told(answer, message);
    },
  };
}

function isReported(verdict: Verdict | Promise<Verdict>): boolean {
  const { reason, wouldRefuse } = verdict as Pass;
  return reason === undefined && wouldRefuse !== undefined;
}

function signersOf(clients: ClientsSettings, rule: SignatureSettings): readonly Signer[] {
  const known = compiled.get(clients);
  if (known !== undefined) return known;
  const signer = (client: string | undefined, key: SignatureKey): Signer => ({
    client,
    key,
    check: signatureCheck({ ...rule, keys: [key] }),
  });
  const signers = [
    ...clients.known.flatMap(({ id, keys = [] }) => keys.map((key) => signer(id, key))),
    ...clients.routeKeys.map((key) => signer(undefined, key)),
  ];
  compiled.set(clients, signers);
  return signers;
}

/** As many of the others' as one request may cost. */
function affordable(signers: readonly Signer[], own: SignatureSettings): readonly Signer[] {
  const others: Signer[] = [];
  let load = 0;
  for (const signer of signers) {
    if (own.keys.some(({ key }) => key.equals(signer.key.key))) continue;
    load += LOAD[signer.key.version];
    if (load > MOST_LOAD) break;
    others.push(signer);
  }
  return others;
}

function signerAmong(
  others: readonly Signer[],
  message: Message,
  rule: SignatureSettings,
): Signer | undefined {
  let bytes = 0;
  return others.find(({ key, check }) => {
    bytes += message.body.length * (key.version === 'v1a' ? signatureCount(message, rule) : 1);
    return bytes <= MOST_BYTES && (check.examine(message) as Verdict).reason === undefined;
  });
}

/** A public key reads the body once for each signature that is presented. */
function signatureCount({ headers }: Message, rule: SignatureSettings): number {
  const isDeclared = rule.scheme === 'hmac' || rule.scheme === 'public-key';
  const separator = isDeclared ? rule.separator : ' ';
  const names = isDeclared ? [rule.header] : ['webhook-signature', 'svix-signature'];
  const text = names.map((name) => fieldValue(headers, name)).find((value) => value !== undefined);
  return separator === undefined ? 1 : (text ?? '').split(separator).length;
}
