import { validateHeaderName, validateHeaderValue } from 'node:http';
import { loadSender, senderNames } from '../../config/senders.ts';
import { duration } from '../../config/values.ts';
import type { SenderProfile } from '../../sender-profile.ts';
import { configError } from '../exit.ts';
import type { Fields } from './fields.ts';
import { attempt, type IdentityOptions, misuse } from './identity.ts';
import { MOST_SECRETS, readPrivateKey } from './sign.ts';

/** The options that say who sends and how it proves that, as they were typed. */
export interface SenderOptions extends IdentityOptions {
  readonly sender: string;
  readonly configFolder: string;
  readonly ca?: string;
  readonly header?: readonly string[];
  readonly secret?: readonly string[];
  /** False with `--no-signature`. */
  readonly signature: boolean;
  readonly timeout?: string;
}

/** Where secrets are taken from, which no list of processes shows. */
export const SECRET_VARIABLE = 'POSTERN_SEND_SECRET';
/** Where a profile says nothing; what most senders have. */
const DEADLINE_MS = 15_000;

/** @throws CliError: exit code 2, or 78 for a profile with mistakes */
export function readProfile({ sender, configFolder }: SenderOptions): Promise<SenderProfile> {
  const names = senderNames(configFolder);
  if (!names.includes(sender))
    misuse(`--sender ${sender}: there is no such profile; there are ${names.join(', ')}`);
  return configError(() => loadSender(sender, configFolder));
}

/** @throws CliError, exit code 2 */
export function readAddress(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol !== 'https:' || url.username || url.password)
    return misuse(`${address} is not a URL to send to; give one such as https://localhost:8443/codat/events`);
  return url;
}

/** How long this sender waits for an answer, milliseconds. @throws CliError, exit code 2 */
export function readDeadline({ timeout }: SenderOptions, profile: SenderProfile): number {
  if (timeout === undefined) return profile.deadlineMs ?? DEADLINE_MS;
  const result = duration().safeParse(timeout);
  return result.success ? result.data : misuse(`--timeout ${timeout}: give a duration such as 15s`);
}

/**
 * The signing secrets that were given, the current one first; `undefined`: nothing is to be signed.
 * @throws CliError, exit code 2, in a sentence that does not hold them
 */
export function readSecrets(typed: SenderOptions, profile: SenderProfile): readonly string[] | undefined {
  if (!profile.signature) {
    if (typed.secret !== undefined) misuse(`${profile.name} does not sign: leave --secret out`);
    return undefined;
  }
  if (!typed.signature) return undefined;
  const secrets = typed.secret ?? (process.env[SECRET_VARIABLE] ?? '').split(/[\s,]+/).filter(Boolean);
  if (secrets.length === 0)
    return misuse(
      `${profile.name} signs: set ${SECRET_VARIABLE} (or give --secret) to the endpoint's signing secret, ` +
        'or --no-signature to go without',
    );
  if (secrets.length > MOST_SECRETS)
    misuse(
      `${secrets.length} signing secrets: a sender signs with ${MOST_SECRETS} at most, the current and ten old ones`,
    );
  for (const secret of secrets) checkSecret(secret);
  return secrets;
}

function checkSecret(secret: string): void {
  if (secret.startsWith('whsk_')) {
    attempt(
      () => readPrivateKey(secret),
      'the whsk_ key is not base64 of an Ed25519 private key: 32 bytes, or 64',
    );
    return;
  }
  if (secret.startsWith('whpk_'))
    misuse('a whpk_ key verifies; give the private key, which begins with whsk_');
  const bytes = secret.replace(/^whsec_/, '');
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(bytes) || bytes === '')
    misuse('the signing secret is not base64, with or without whsec_ before it');
}

/** The fields that were typed, each under its first spelling. @throws CliError, exit code 2 */
export function readHeaders(typed: readonly string[] = []): Fields {
  const headers = new Map<string, { readonly name: string; readonly values: string[] }>();
  for (const text of typed) {
    const [, name = '', value = ''] = /^([^:]+):\s*(.*?)\s*$/.exec(text) ?? [];
    const field = name.toLowerCase();
    attempt(
      () => {
        validateHeaderName(field);
        validateHeaderValue(field, value);
      },
      `--header '${name || text}': give 'Name: value'`,
    );
    if (['content-length', 'transfer-encoding', 'connection'].includes(field))
      misuse(`--header '${name}' belongs to the connection and cannot be set`);
    const known = headers.get(field) ?? { name, values: [] };
    known.values.push(value);
    headers.set(field, known);
  }
  return Object.fromEntries([...headers.values()].map(({ name, values }) => [name, values]));
}
