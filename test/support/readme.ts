import { loadSender } from '../../src/config/senders.ts';
import { REASONS, type Reason } from '../../src/reasons.ts';
import { responderFor } from '../../src/respond.ts';

const SENDERS = ['codat', 'codat-alerts', 'svix', 'standard-webhooks'];
const UPSTREAM = [200, 302, 400, 401, 404, 408, 409, 410, 422, 429, 500, 502, 503, 504];

/** README's answers table: every reason, and what an upstream may answer, as each sender gets it. */
export function answersTable(): string {
  const responders = [undefined, ...SENDERS].map((name) =>
    responderFor(name === undefined ? undefined : loadSender(name, 'config'), false),
  );
  const own = (Object.keys(REASONS) as Reason[])
    .filter((reason) => !['upstream.refused', 'upstream.failed', 'upstream.redirect'].includes(reason))
    .map((reason) => [
      reason,
      ...responders.map((responder) => String(responder.refuse({ reason }, '').status || 'closed')),
    ]);
  const upstream = UPSTREAM.map((status) => [
    `the upstream's ${status}`,
    ...responders.map((responder) => {
      const { reply, reason } = responder.pass({ status, headers: [], body: undefined }, 'POST', '');
      return `${reply.status}${reason === undefined ? '' : ` \`${reason}\``}`;
    }),
  ]);
  return markdown(['', 'no sender', ...SENDERS.map((name) => `\`${name}\``)], [...grouped(own), ...upstream]);
}

/** Reasons of one subject that are all answered alike share a row. */
function grouped(rows: readonly string[][]): string[][] {
  const subjects = Map.groupBy(rows, ([reason = '', ...statuses]) =>
    [reason.split('.')[0], ...statuses].join(' '),
  );
  return [...subjects.values()].map((alike) => [
    alike.map(([reason]) => `\`${reason}\``).join(' '),
    ...(alike[0]?.slice(1) ?? []),
  ]);
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
