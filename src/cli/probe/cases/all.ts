import { type Case, goodShot } from '../case.ts';
import { documentationOf } from '../documents.ts';
import { ACCEPTED } from '../expect.ts';
import type { Stage } from '../stage.ts';
import { bodyCases } from './bodies.ts';
import { forgedCases } from './forged.ts';
import { goodCases } from './good.ts';
import { httpCases } from './http.ts';
import { identityCases } from './identities.ts';

/**
 * Every case, in the order in which they are tried. The first is the good event that all others are measured by; the
 * last is a good event again, without which what was refused before might have been refused by a receiver that was down.
 */
export function makeCases(stage: Stage): Case[] {
  return [
    ...goodCases(stage),
    ...bodyCases(stage),
    ...forgedCases(stage),
    ...httpCases(stage),
    ...identityCases(stage),
    {
      name: 'good-at-last',
      sent: 'a good event after all that',
      expected: ACCEPTED,
      why: 'A receiver that is down, or has locked the sender out, refuses everything: then nothing above was shown.',
      source: documentationOf(stage.profile),
      make: () => [goodShot(stage, 'good-at-last')],
    },
  ];
}
