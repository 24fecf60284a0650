import { Command } from 'commander';
import { configOption } from '../options.ts';
import { appendFinished, findingText } from './audit-append.ts';
import type { Finding } from './audit-chain.ts';
import { type Verified, verifyFile } from './audit-verify.ts';
import { misuse } from './filter.ts';
import { type Where, withEvents } from './open.ts';
import { jsonText, visible } from './visible.ts';
import { count } from './words.ts';

type TypedAudit = Where & {
  readonly file: string;
  readonly verify?: true;
  readonly head?: string;
  /** False with `--no-state`. */
  readonly state: boolean;
  readonly json?: true;
};

/** After so many findings the file is another one, and each further says nothing new. */
const MOST_TOLD = 100;

const HELP = `
Each line is one finished event, delivered or dead, as JSON: its number n, ids, route, SHA-256 of the payload, client
certificate, address, secret (place in the list), forced (who released it though its signature did not hold: by, at,
reason), verdict, the last attempt's upstream_status or reason, times; then
previous, the hash of the line before, and hash, SHA-256 over the line without its member hash. An event that was
retried after it was dead has a line for each end. One that finished before those of earlier lines says late.
An event that is discarded, or whose retention ends, before a run has seen it, has no line: run it often.

--verify finds lines that were altered, removed, moved or repeated, and payloads in the state that are not those
audited. Whoever can write the whole file anew can make a chain of their own, and lines cut off at the end leave a
whole chain: so note the head that is printed in another place, and give it with --head.

Examples:
  postern events audit --file /var/lib/postern/audit.jsonl
  postern events audit --verify --file /var/lib/postern/audit.jsonl --head HASH`;

/** `postern events audit`: what arrived and what became of it, so that it can be shown later. */
export function auditCommand(): Command {
  return new Command('audit')
    .description(
      'append a line for every finished event that the file does not hold yet; or check such a file',
    )
    .addOption(configOption())
    .requiredOption('--file <file>', 'the file of the audit; made where there is none, for its owner only')
    .option(
      '--route <name>',
      'events of this route (or NAME/CLIENT) only; a file is always run with the same',
    )
    .option('--verify', 'check every line, and compare with the state; exit 1 and FILE:LINE: on any finding')
    .option('--head <hash>', 'with --verify: a head that was noted earlier, which some line must have')
    .option(
      '--no-state',
      'with --verify: look at the file alone, on a machine without configuration and state',
    )
    .option(
      '--json',
      'print {"appended", "lines", "head", "unreadable"}, or with --verify {"lines", "head", "findings", ...}',
    )
    .addHelpText('after', HELP)
    .action(async (typed: TypedAudit) => {
      const { head, verify } = typed;
      if (!verify && (head !== undefined || !typed.state)) misuse('--head and --no-state belong to --verify');
      if (head !== undefined && !/^[0-9a-f]{64}$/.test(head))
        misuse(`--head ${visible(head)}: give the 64 hexadecimal digits that an earlier run printed`);
      await (verify ? check(typed) : append(typed));
    });
}

async function append(typed: TypedAudit): Promise<void> {
  const { file, route, json } = typed;
  const { repaired, problem, ...done } = await withEvents(typed, (events) =>
    appendFinished(events, file, route),
  );
  if (repaired !== undefined) process.stderr.write(`${repaired}\n`);
  if (problem !== undefined) {
    process.stderr.write(
      `${count(done.unreadable, 'finished event')} could not be read and got no line: ${problem}\n`,
    );
    process.exitCode = 1;
  }
  if (json) console.log(jsonText(done));
  else
    console.log(`${file}: ${count(done.appended, 'line')} appended, ${done.lines} in all; head ${done.head}`);
}

async function check(typed: TypedAudit): Promise<void> {
  const { file, route, head, json } = typed;
  const findings: Finding[] = [];
  let more = 0;
  const found = (finding: Finding): void => {
    if (findings.length < MOST_TOLD) findings.push(finding);
    else more += 1;
  };
  const verified = typed.state
    ? await withEvents(typed, (events) => verifyFile(file, { head, route, events }, found))
    : await verifyFile(file, { head, route, events: undefined }, found);
  if (json) console.log(jsonText({ ...verified, findings, more }, 2));
  else {
    for (const finding of findings) console.log(findingText(file, finding));
    if (more > 0) console.log(`${file}: and ${more} more`);
    console.log(`${file}: ${summary(verified, findings.length + more)}`);
  }
  if (findings.length > 0) process.exitCode = 1;
}

function summary({ lines, head, late, compared, waiting }: Verified, findings: number): string {
  const parts = [
    `${count(lines, 'line')}, ${findings === 0 ? 'each as it was written' : count(findings, 'finding')}`,
    compared === undefined
      ? 'not compared with the state'
      : `${count(compared, 'event')} of the state compared`,
    ...(waiting > 0 ? [`${waiting} finished since the last run`] : []),
    ...(late > 0 ? [`${late} came late`] : []),
  ];
  return `${parts.join(', ')}; ${head === '' ? 'no head, since the last line does not hold' : `head ${head}`}`;
}
