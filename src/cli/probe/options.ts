import { createPrivateKey, X509Certificate } from 'node:crypto';
import { attempt, misuse, readCa, readFile, readIdentity } from '../send/identity.ts';
import type { Identity } from '../send/post.ts';
import {
  readAddress,
  readDeadline,
  readHeaders,
  readProfile,
  readSecrets,
  type SenderOptions,
} from '../send/sender.ts';
import type { Case } from './case.ts';
import { makeCases } from './cases/all.ts';
import type { Issuer } from './certificate.ts';
import type { Pace } from './run.ts';
import { readKey } from './sign.ts';
import type { Stage } from './stage.ts';

/** The options of `postern probe`, as they were typed. */
export interface ProbeOptions extends SenderOptions {
  readonly issuer?: string;
  readonly issuerKey?: string;
  readonly only?: readonly string[];
  readonly slow?: boolean;
  readonly strict?: boolean;
  readonly json?: boolean;
}

/** Everything needed to probe, read and checked. */
export interface ProbePlan {
  readonly stage: Stage;
  readonly cases: readonly Case[];
  readonly pace: Pace;
}

/** A probe that nobody asked to be slow is over within a minute, whatever the receiver does. */
const TOTAL_MS = 55_000;
const EACH_MS = 5_000;
const SLOW_TOTAL_MS = 15 * 60_000;

/** @throws CliError with what is wrong and what would be right: exit code 2, or 78 for a sender profile with mistakes */
export async function planProbe(address: string, typed: ProbeOptions): Promise<ProbePlan> {
  const url = readAddress(address);
  const profile = await readProfile(typed);
  const { signature } = profile;
  if (signature !== undefined && signature.scheme !== 'standard-webhooks' && typed.signature)
    misuse(
      `${profile.name} signs in a way of its own, and probe signs by Standard Webhooks only: go without by --no-signature`,
    );
  const identity = readIdentity(typed, profile);
  const deadlineMs = readDeadline(typed, profile);
  const stage: Stage = {
    url,
    destination: {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || 443),
      ca: typed.ca === undefined ? undefined : readCa(typed.ca),
    },
    profile,
    identity,
    issuer: readIssuer(typed, identity),
    keys: (readSecrets(typed, profile) ?? []).map(readKey),
    custom: readHeaders(typed.header),
  };
  const isSlow = typed.slow === true;
  const eachMs = isSlow ? deadlineMs : Math.min(EACH_MS, deadlineMs);
  const pace = { totalMs: isSlow ? SLOW_TOTAL_MS : TOTAL_MS, firstMs: deadlineMs, eachMs, isSlow };
  return { stage, cases: choose(makeCases(stage), typed.only), pace };
}

/** The named cases, with the good event first, by which the others are measured. */
function choose(cases: readonly Case[], only: readonly string[] | undefined): readonly Case[] {
  if (only === undefined) return cases;
  for (const name of only) {
    if (!cases.some((each) => each.name === name))
      misuse(`--only ${name}: there is no such case; there are ${cases.map((each) => each.name).join(', ')}`);
  }
  return cases.filter(({ name }, place) => place === 0 || only.includes(name));
}

function readIssuer({ issuer, issuerKey }: ProbeOptions, identity: Identity | undefined): Issuer | undefined {
  if (issuer === undefined && issuerKey === undefined) return undefined;
  if (issuer === undefined || issuerKey === undefined) return misuse('--issuer and --issuer-key go together');
  if (identity === undefined)
    return misuse('--issuer makes client certificates like the one given: it goes together with --bundle');
  const pem = readFile(issuerKey);
  const certificate = attempt(
    () => new X509Certificate(readFile(issuer)),
    `${issuer} holds no certificate in PEM; --issuer is the CA of the client certificate`,
  );
  const key = attempt(() => createPrivateKey(pem), `${issuerKey} holds no unencrypted private key in PEM`);
  if (!certificate.checkPrivateKey(key))
    misuse(`the key in ${issuerKey} is not that of the certificate in ${issuer}`);
  if (!new X509Certificate(identity.certificate).checkIssued(certificate))
    misuse(
      `the client certificate was not issued by ${issuer}, so certificates of that CA would show nothing`,
    );
  return { certificate, key };
}
