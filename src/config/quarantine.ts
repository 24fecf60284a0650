import type { QuarantineSettings } from '../quarantined.ts';
import type { SignatureSettings } from '../settings.ts';
import type { StateSettings } from '../state-settings.ts';
import type { Path } from './document.ts';
import { type Partly, section } from './issues.ts';
import type { Report } from './problems.ts';
import type { RouteInput } from './schema.ts';
import { duration, flag, integer } from './values.ts';

const LONGEST_HOURS = 365 * 24;

/** What becomes of messages whose signature does not hold, where somebody can vouch for them later. */
export const quarantineSchema = section(
  {
    signature: flag().describe(
      'Whether a message from a trusted certificate whose signature does not hold is kept and acknowledged with 202.',
    ),
    limit: integer('a number of events', 1, 10_000_000)
      .prefault(10_000)
      .describe(
        'How many events of the route, and of each of its clients, are kept; beyond it they are refused.',
      ),
    age: duration({ maxHours: LONGEST_HOURS })
      .prefault('7d')
      .describe('How long each is kept, unless it is released or discarded before.'),
  },
  'a mapping with signature, limit and age',
);

/** The rules of a quarantine that no single key can break. */
export function checkQuarantine(
  { values, right }: Partly<RouteInput>,
  signature: SignatureSettings | undefined,
  path: Path,
  report: Report,
): void {
  if (values.quarantine?.signature !== true) return;
  const where = [...path, 'quarantine'];
  if (right('certificate') && values.certificate === 'none')
    report.add(
      where,
      'with "certificate: none" anybody could fill it; remove it, or ask for a client certificate',
    );
  if (right('signature') && values.signature === undefined)
    report.add(where, 'without a signature there is nothing that could fail; remove it, or give signature');
  if (signature !== undefined && values.signature?.mode === 'report')
    report.add(
      where,
      'a signature in report mode refuses nothing that could be kept; remove it, or "mode: report"',
    );
  if (signature?.scheme === 'token')
    report.add(
      where,
      'by the scheme token a wrong token is a wrong password, and signs nothing that could be judged later; remove it',
    );
}

export function quarantineOf({ quarantine }: RouteInput): QuarantineSettings | undefined {
  return quarantine?.signature === true ? { limit: quarantine.limit, ageMs: quarantine.age } : undefined;
}

/** What is legal but unwise. */
export function ofQuarantine(
  quarantine: QuarantineSettings | undefined,
  { driver }: StateSettings,
): readonly string[] {
  if (quarantine === undefined || driver !== 'memory') return [];
  return [
    'quarantine: with state.driver memory what it acknowledges ends with the process, and nobody can release it; write driver: sqlite',
  ];
}
