import { hash } from 'node:crypto';
import { z } from 'zod';
import type { Tally, Usage } from '../../record/usage.ts';
import type { Settings } from '../../settings.ts';

const tally = z.object({
  since: z.iso.datetime(),
  count: z.int().nonnegative(),
  last: z.iso.datetime().optional(),
});

/** Printed as it is: whoever listens where a gateway should must not write to the terminal. */
const printable = z.string().regex(/^\P{C}*$/u);

/** What `/usage` answers. */
export const answerSchema = z.object({
  /** Which configuration runs, and where it was read. */
  configuration: z.object({ file: printable, sha256: z.string() }),
  routes: z.array(z.object({ route: printable, requests: tally, let_in: tally, secrets: z.array(tally) })),
});

export type UsageAnswer = z.output<typeof answerSchema>;
export type TallyText = z.output<typeof tally>;

/** The answer of the admin listener at `/usage`. */
export function usageText(settings: Settings, usage: Usage): string {
  const answer: UsageAnswer = {
    configuration: { file: settings.file, sha256: configurationDigest(settings) },
    routes: [...usage].map(([route, { requests, letIn, secrets }]) => ({
      route,
      requests: textOf(requests),
      let_in: textOf(letIn),
      secrets: secrets.map(textOf),
    })),
  };
  return `${JSON.stringify(answer)}\n`;
}

/**
 * The same for two processes only if they read the same file and it means the same to both: what is shown of a
 * configuration holds a digest of every secret, so another value of an environment variable is another configuration.
 */
export function configurationDigest({ file, shown }: Settings): string {
  return hash('sha256', JSON.stringify([file, shown]));
}

function textOf({ sinceMs, count, lastMs }: Tally): TallyText {
  const last = lastMs === undefined ? {} : { last: timeText(lastMs) };
  return { since: timeText(sinceMs), count, ...last };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
