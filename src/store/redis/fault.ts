import { ANSWER_MS } from './client.ts';

/** What Redis answers when it is there, but cannot do its work: more than one command would fail. */
const AWAY =
  /^(?:OOM|MISCONF|READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|NOPERM|NOAUTH|WRONGPASS|BUSY|UNBLOCKED)\b/;

/** What the client says of a connection; what it says of anything else is about the one command. */
const NETWORK =
  /timed out|connection|writeable|aborted|cluster|sentinel|ECONN|EPIPE|EHOST|ENET|ENOTFOUND|EAI_AGAIN/i;

/** Whether an error says something about the whole of Redis, and not only about the one command. */
export function isAway(error: unknown): boolean {
  const { name, message, code } = error as NodeJS.ErrnoException;
  return name === 'ReplyError' ? AWAY.test(message) : NETWORK.test(`${code} ${message}`);
}

/** An error of the client or of Redis as a sentence for an operator; holds no credential. */
export function explain(error: unknown): string {
  const { message, code } = deepest(error);
  if (/^WRONGPASS/.test(message)) return 'redis: it does not accept the user name and password of state.url';
  if (/^NOAUTH/.test(message))
    return 'redis: it asks for a password; give state.url one: redis://user:password@…';
  if (/^NOPERM/.test(message))
    return `redis: the user of state.url lacks a right (${message}); allow it in the ACL`;
  if (/^MISCONF/.test(message))
    return 'redis: it takes no writes, since it cannot save to its disk; see its log';
  if (/^OOM/.test(message)) return 'redis: it takes no writes, since its maxmemory is reached; raise it';
  if (/^LOADING/.test(message)) return 'redis: it is still loading its data from disk';
  if (/timed out|ETIMEDOUT/.test(message)) return `redis: no answer within ${ANSWER_MS} ms`;
  if (/^Connection is closed|isn't writeable|^Command aborted/.test(message))
    return 'redis: the connection was lost';
  if (/CERT|certificate|self.signed/i.test(`${code} ${message}`))
    return `redis: TLS: ${message}; give the authority that vouches for it as state.tls.ca`;
  return `redis: ${message}`;
}

/** A cluster and a host with several addresses wrap what went wrong at each. */
function deepest(error: unknown): { message: string; code: string | undefined } {
  const { message, code, errors, lastNodeError, cause } = error as Error & {
    code?: string;
    errors?: unknown[];
    lastNodeError?: unknown;
  };
  const inner = lastNodeError ?? errors?.[0] ?? (message === '' ? cause : undefined);
  return inner === undefined || inner === null ? { message, code } : deepest(inner);
}
