import type { ClientSettings, ClientsSettings } from '../client-settings.ts';
import { fieldCount, fieldValue } from '../fields.ts';
import type { CertificateRule, RouteSettings } from '../settings.ts';
import { type Check, type Head, PASS, type Refusal, type Verdict } from '../types.ts';
import { certificateCheck } from './certificate.ts';
import { reported } from './report.ts';

const LONGEST_SHOWN = 128;

/**
 * What the head of a request must prove of the client that it names; nothing where only the signature can.
 *
 * Anybody may write the header, so an answer of this check tells who asks which ids exist. It is asked of those alone
 * whom the route's own checks have let in.
 */
export function clientChecks({ clients, client }: RouteSettings): readonly Check<Head>[] {
  if (clients === undefined) return [];
  const check = client === undefined ? ofUnknown(clients) : client.certificate && ofKnown(client.certificate);
  if (check === undefined) return [];
  return [clients.mode === 'report' ? reported(check) : check];
}

/** A known client's own certificate. */
function ofKnown(rule: CertificateRule): Check<Head> {
  const { examine } = certificateCheck(rule);
  return {
    name: 'client',
    examine: (head) => {
      const verdict = examine(head) as Verdict;
      return verdict.reason === undefined ? PASS : mismatch(verdict.detail ?? verdict.reason);
    },
  };
}

/** A request that names no known client. */
function ofUnknown({ header, unknown, known }: ClientsSettings): Check<Head> {
  const ownerOf = certificateOwners(known);
  return {
    name: 'client',
    examine: (head) => {
      const count = fieldCount(head.headers, header);
      // Of two values the upstream may believe the other one, whoever is let in as nobody in particular.
      if (count > 1) return { reason: 'client.unknown', detail: `${header} repeated` };
      if (unknown === 'refuse') {
        const id = fieldValue(head.headers, header);
        return { reason: 'client.unknown', detail: id === undefined ? `no ${header}` : shownId(id) };
      }
      const owner = ownerOf(head);
      return owner === undefined ? PASS : mismatch(`the certificate is that of the client ${owner}`);
    },
  };
}

/** Finds the client whose own certificate a peer has: by one listed fact first, since there may be many clients. */
function certificateOwners(known: readonly ClientSettings[]): (head: Head) => string | undefined {
  const byFact = new Map<string, { id: string; examine: (head: Head) => unknown }[]>();
  for (const { id, certificate } of known) {
    if (certificate === undefined) continue;
    const { examine } = certificateCheck(certificate);
    for (const fact of factsIn(certificate)) {
      const owners = byFact.get(fact);
      if (owners === undefined) byFact.set(fact, [{ id, examine }]);
      else owners.push({ id, examine });
    }
  }
  return (head) => {
    const certificate = head.peer.certificate;
    if (certificate === undefined || byFact.size === 0) return undefined;
    const { names, fingerprint, publicKey } = certificate;
    for (const fact of [...names, `f ${fingerprint}`, `k ${publicKey}`]) {
      const owner = byFact.get(fact)?.find(({ examine }) => (examine(head) as Verdict).reason === undefined);
      if (owner !== undefined) return owner.id;
    }
    return undefined;
  };
}

/** One of the lists that a rule gives; a fingerprint and a public key look alike, so they are marked. */
function factsIn({ names, fingerprints, publicKeys }: CertificateRule): readonly string[] {
  return names ?? fingerprints?.map((text) => `f ${text}`) ?? publicKeys?.map((text) => `k ${text}`) ?? [];
}

function mismatch(detail: string): Refusal {
  return { reason: 'client.mismatch', detail };
}

function shownId(id: string): string {
  const cut = id.length > LONGEST_SHOWN ? `${id.slice(0, LONGEST_SHOWN)}…` : id;
  return `no client ${JSON.stringify(cut)}`;
}
