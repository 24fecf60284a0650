import { X509Certificate } from 'node:crypto';
import type { Identity } from '../../send/post.ts';
import { type Case, goodShot } from '../case.ts';
import { makeIdentity, type Request } from '../certificate.ts';
import { BETTER_NOT_LET_IN, NOT_LET_IN } from '../expect.ts';
import type { Stage } from '../stage.ts';

const DAY_MS = 86_400_000;

/** Well signed events over connections whose client certificate is not right. */
export function identityCases(stage: Stage): Case[] {
  const { identity, issuer, profile } = stage;
  const like = identity && new X509Certificate(identity.certificate);
  const lacks =
    like !== undefined
      ? undefined
      : profile.clientCertificate
        ? 'no client certificate was given'
        : `${profile.name} presents no client certificate`;
  const lacksIssuer =
    lacks ?? (issuer ? undefined : 'no authority was given that can make one: --issuer and --issuer-key');

  const made = (name: string, other: Partial<Request>) => (): ReturnType<Case['make']> => {
    if (like === undefined) return [];
    const now = Date.now();
    const times = { fromMs: now - DAY_MS, untilMs: now + DAY_MS };
    const presented = makeIdentity({ like, issuer, usage: 'client', ...times, ...other });
    return [shotWith(stage, name, presented)];
  };

  return [
    {
      name: 'no-certificate',
      sent: 'a good event without a client certificate',
      expected: NOT_LET_IN,
      why: 'It was given, so it is to be asked for.',
      source: 'RFC 8446, section 4.4.2.4',
      lacks,
      make: () => [shotWith(stage, 'no-certificate', undefined)],
    },
    {
      name: 'other-authority',
      sent: 'a certificate with all the right names, made by nobody',
      expected: NOT_LET_IN,
      why: 'Anybody can write any name into a certificate: its signature by the right authority is what counts.',
      source: 'RFC 5280, section 6.1.3',
      lacks,
      make: made('other-authority', { issuer: undefined }),
    },
    {
      name: 'expired',
      sent: 'a certificate of the right authority that ended yesterday',
      expected: NOT_LET_IN,
      why: 'After its end nobody vouches for it any more, and no revocation list names it.',
      source: 'RFC 5280, section 6.1.3',
      lacks: lacksIssuer,
      make: made('expired', { fromMs: Date.now() - 30 * DAY_MS, untilMs: Date.now() - DAY_MS }),
    },
    {
      name: 'not-yet-valid',
      sent: 'a certificate of the right authority that begins tomorrow',
      expected: NOT_LET_IN,
      why: 'Before its beginning it is as good as none.',
      source: 'RFC 5280, section 6.1.3',
      lacks: lacksIssuer,
      make: made('not-yet-valid', { fromMs: Date.now() + DAY_MS, untilMs: Date.now() + 30 * DAY_MS }),
    },
    {
      name: 'server-certificate',
      sent: 'a certificate of the right authority, for servers only',
      expected: BETTER_NOT_LET_IN,
      why: 'It must be used for the purposes only that it names: a stolen web server key is no sender.',
      source: 'RFC 5280, section 4.2.1.12',
      lacks: lacksIssuer,
      make: made('server-certificate', { usage: 'server' }),
    },
  ];
}

function shotWith(
  stage: Stage,
  name: string,
  identity: Identity | undefined,
): ReturnType<Case['make']>[number] {
  return { ...goodShot(stage, name), identity };
}
