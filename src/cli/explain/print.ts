import { factsOf, type Reason } from '../../reasons.ts';
import { isoTime } from '../events/time.ts';
import { jsonText, visible } from '../events/visible.ts';
import type { SignatureReport } from './signature.ts';
import type { Step } from './steps.ts';

/** All that is said of one captured request. */
export interface Explanation {
  readonly route: string | undefined;
  /** The known client that it names. */
  readonly client: string | undefined;
  /** When it is taken to have come, and who says so. */
  readonly epochMs: number;
  readonly timeFrom: TimeSource;
  readonly steps: readonly Step[];
  readonly signature: SignatureReport | undefined;
  readonly notes: readonly string[];
}

export type TimeSource = 'option' | 'capture' | 'signature' | 'now';

const TIME_WORDS: Readonly<Record<TimeSource, string>> = {
  option: 'as --time says',
  capture: 'when it came',
  signature: 'the time of signing: the capture holds none, so its age is not judged; give --time',
  now: 'now: the capture holds no time; give --time',
};

/** The first refusal: the gateway asks no further. */
export function refusalOf(steps: readonly Step[]): Step | undefined {
  return steps.find(({ answer }) => answer === 'refused');
}

/** The explanation as JSON, snake case as all that the program writes. */
export function explanationJson(explanation: Explanation): string {
  const { route, client, epochMs, timeFrom, steps, signature, notes } = explanation;
  const refusal = refusalOf(steps);
  const shown = {
    let_in: refusal === undefined,
    reason: refusal?.reason,
    would_refuse: steps.flatMap(({ answer, reason }) => (answer === 'would refuse' ? [reason] : [])),
    route,
    client,
    time: isoTime(epochMs),
    time_from: timeFrom,
    checks: steps.map(({ check, answer, reason, detail }) => ({
      check,
      answer: answer.replace(' ', '_'),
      reason,
      detail,
    })),
    signature: signature && {
      scheme: signature.scheme,
      headers: signature.headers.names,
      families: signature.headers.families,
      versions: signature.headers.versions,
      secrets_tried: signature.secretsTried,
      signed_at: signature.signedAt,
      skew_seconds: signature.skewSeconds,
      tolerance_seconds: signature.toleranceSeconds,
      variants_tried: signature.variants,
      findings: signature.findings,
    },
    notes,
  };
  return jsonText(shown, 2);
}

/** The explanation for people: a line each check, then the signature, then what was odd. */
export function explanationText({ epochMs, timeFrom, steps, signature, notes }: Explanation): string {
  const width = Math.max(...steps.map(({ check }) => check.length));
  const lines = steps.map(({ check, answer, reason, detail }) => {
    const told = [reason, detail].filter((one) => one !== undefined).join(': ');
    return `${visible(check).padEnd(width)}  ${answer.padEnd('would refuse'.length)}  ${visible(told)}`.trimEnd();
  });
  lines.push('', `judged as of ${isoTime(epochMs)}, ${TIME_WORDS[timeFrom]}`);
  if (signature !== undefined) lines.push('', ...signatureLines(signature));
  if (notes.length > 0) lines.push('', ...notes.map((note) => `note: ${visible(note)}`));
  lines.push('', verdictText(steps));
  return lines.join('\n');
}

function signatureLines({
  scheme,
  headers,
  secretsTried,
  signedAt,
  skewSeconds,
  toleranceSeconds,
  findings,
}: SignatureReport): string[] {
  const versions = Object.entries(headers.versions).map(([version, count]) => `${count} of ${version}`);
  const skew =
    skewSeconds === undefined
      ? ''
      : `; it came ${Math.abs(skewSeconds)} s ${skewSeconds < 0 ? 'before that' : 'later'}, ${toleranceSeconds} s are allowed`;
  return [
    `signature by ${scheme}: ${secretsTried} ${secretsTried === 1 ? 'secret' : 'secrets'} tried`,
    `  headers:    ${headers.names.join(', ') || 'none of this scheme'}`,
    ...(headers.families.length > 0 ? [`  families:   ${headers.families.join(', ')}`] : []),
    ...(versions.length > 0 ? [`  signatures: ${versions.join(', ')}`] : []),
    ...(signedAt === undefined ? [] : [`  signed at:  ${signedAt}${skew}`]),
    ...findings.map(({ sentence }) => `  - ${visible(sentence)}`),
  ].map((line) => visible(line));
}

function verdictText(steps: readonly Step[]): string {
  const refusal = refusalOf(steps);
  const open = steps.filter(({ answer }) => answer === 'not judged').map(({ check }) => check);
  if (refusal === undefined) {
    const others = open.length === 0 ? '' : `, as far as can be told: not judged ${open.join(', ')}`;
    const reported = steps.flatMap(({ answer, reason }) => (answer === 'would refuse' ? [reason] : []));
    const told =
      reported.length === 0 ? '' : `; what is only reported would refuse it: ${reported.join(', ')}`;
    return `It would be let in${told}${others}.`;
  }
  const { status } = factsOf(refusal.reason as Reason);
  return `It would be refused: ${refusal.reason}, status ${status} where the sender's profile has no other.`;
}
