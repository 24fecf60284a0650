import type { SenderProfile } from '../../sender-profile.ts';
import { declaredSigner } from './declared.ts';
import type { SendOptions } from './event.ts';
import { misuse } from './identity.ts';
import { readSecrets, SECRET_VARIABLE, type SenderOptions } from './sender.ts';
import { makeSigner } from './sign.ts';

/**
 * How events are signed as this sender signs them.
 * @throws CliError, exit code 2, in a sentence that does not hold a secret
 */
export function readSigning(
  typed: SenderOptions & { readonly body?: string },
  profile: SenderProfile,
): Pick<SendOptions, 'signer' | 'signFields'> {
  const { signature: rule } = profile;
  if (rule === undefined || rule.scheme === 'standard-webhooks') {
    const secrets = readSecrets(typed, profile);
    return { signer: secrets && makeSigner(...secrets) };
  }
  if (!typed.signature) return { signer: undefined };
  const secret = readSecret(typed, profile);
  if (rule.scheme !== 'token' && rule.timestamp && 'body' in rule.timestamp && typed.body === undefined)
    misuse(
      `${profile.name} puts the time of signing into the message, and no sample has it: give a message of its kind by --body`,
    );
  return { signer: undefined, signFields: declaredSigner(profile, rule, secret) };
}

/** One secret, whole: it may be a private key of many lines. */
function readSecret(typed: SenderOptions, profile: SenderProfile): string {
  const [secret = process.env[SECRET_VARIABLE], second] = typed.secret ?? [];
  if (second !== undefined) misuse(`${profile.name} signs with one secret: give --secret once`);
  if (!secret)
    return misuse(
      `${profile.name} signs: set ${SECRET_VARIABLE} (or give --secret) to the endpoint's signing secret, ` +
        'or --no-signature to go without',
    );
  return secret;
}
