import { settingsOf } from '../clients.ts';
import type { AttestSettings, Credential, RouteSettings } from '../settings.ts';
import type { SignatureKey } from '../signature-settings.ts';
import { EXAMPLE_SECRETS } from './example-secrets.ts';

const SHORT_SECRET = 16;
/** 32 random bytes, as RFC 7518 section 3.2 asks, have 43 characters in base64: a shorter text holds less. */
const FULL_SECRET = 43;

/** What is legal but unwise about a route's own secrets; never holds one. */
export function ofRouteSecrets({ authorization, signature, attest }: RouteSettings): string[] {
  const keys = signature?.keys ?? [];
  const warnings = [...authorization.flatMap(ofCredential), ...ofSignatureKeys('signature.secrets', keys)];
  return attest === undefined ? warnings : [...warnings, ...ofAttestKey(attest)];
}

/** @param list the list that they stand in */
export function ofSignatureKeys(list: string, keys: readonly SignatureKey[]): string[] {
  return keys.flatMap(({ version, key, from }, index) => {
    if (version === 'v1a') return [];
    const where = `${list}[${index}]${from === undefined ? '' : ` (${from})`}`;
    const bytes = key.export();
    if (EXAMPLE_SECRETS.has(`whsec_${bytes.toString('base64')}`)) return [known(where)];
    return ofSecret(where, bytes.toString('latin1'));
  });
}

function ofCredential(credential: Credential, index: number): string[] {
  const where = `authorization[${index}]`;
  if (credential.kind === 'bearer') return ofSecret(where, credential.token);
  return ofSecret(where, credential.kind === 'basic' ? credential.password : credential.value);
}

/** What is wrong with a secret that somebody presents as it is. */
export function ofSecret(where: string, secret: string): string[] {
  if (EXAMPLE_SECRETS.has(secret)) return [known(where)];
  if (secret.length >= SHORT_SECRET) return [];
  return [
    `${where}: the secret has ${secret.length} characters and can be guessed; use at least ${SHORT_SECRET}, drawn at random`,
  ];
}

function known(where: string): string {
  return `${where}: the secret is the one in .env.example and known to everybody; use one of your own`;
}

function ofAttestKey({ algorithm, key }: AttestSettings): string[] {
  if (algorithm === 'EdDSA') return [];
  const secret = key.export().toString();
  if (EXAMPLE_SECRETS.has(secret)) return [known('attest.key')];
  if (secret.length >= FULL_SECRET) return [];
  return [
    `attest.key: ${secret.length} characters of text hold less than the 32 random bytes of HS256; make one with: openssl rand -base64 48`,
  ];
}

/** One secret on two routes lets whoever has seen an event of one send it to the other. */
export function ofSharedSecrets(
  routes: readonly RouteSettings[],
  labelOf: (index: number) => string,
): string[] {
  const users = new Map<string, Set<number>>();
  for (const [index, route] of routes.entries()) {
    // Its sender has one key for everybody, so nobody could give each route its own.
    if (route.signature?.scheme === 'public-key') continue;
    const keys = settingsOf(route).flatMap(({ signature }) => signature?.keys ?? []);
    for (const { version, key } of keys) {
      const bytes = version === 'v1' ? key.export() : key.export({ format: 'der', type: 'spki' });
      const id = bytes.toString('base64');
      users.set(id, (users.get(id) ?? new Set()).add(index));
    }
  }
  const shared = [...users.values()].filter((set) => set.size > 1).map((set) => [...set].map(labelOf));
  const sentences = shared.map(([first, ...others]) => {
    const rest = others.length > 5 ? `${others.length} other routes` : others.join(', ');
    return `${first}: shares a signature secret with ${rest}, so an event for one passes on the other too; give each its own`;
  });
  return [...new Set(sentences)];
}
