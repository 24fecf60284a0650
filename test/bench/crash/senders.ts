import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { endWithUs } from './children.ts';

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
/** More than any run sends: they are ended. */
const ENDLESS = 9_999_999;

export interface SendersOptions {
  readonly count: number;
  /** How many events each of them begins a second. */
  readonly perSecond: number;
  readonly url: string;
  /** The folder of the certificates. */
  readonly certificates: string;
  /** In base64, without `whsec_`. */
  readonly secret: string;
}

/** What a run's senders were told. */
export interface Senders {
  /** Events with a 2xx. */
  readonly acknowledged: ReadonlySet<string>;
  readonly figures: {
    /** Answered 200: the event had been accepted before, and its sender had not heard so. */
    readonly duplicates: number;
    /** Attempts without an answer. */
    readonly unanswered: number;
    /** Attempts that were told to come back. */
    readonly refused: number;
  };
  /** Ends them; resolves when all they said has been read. */
  stop(): Promise<void>;
}

interface Line {
  readonly message_id: string;
  readonly status?: number;
}

/** Starts `postern send` as often as asked for; each follows its sender's own rules of retrying, with shorter pauses. */
export function startSenders(options: SendersOptions): Senders {
  const acknowledged = new Set<string>();
  const figures = { duplicates: 0, unanswered: 0, refused: 0 };
  let isStopped = false;
  const note = ({ message_id: id, status }: Line) => {
    if (status === undefined) figures.unanswered += 1;
    else if (status >= 300) figures.refused += 1;
    else {
      acknowledged.add(id);
      if (status === 200) figures.duplicates += 1;
    }
  };
  const running = Array.from({ length: options.count }, () => {
    const child = endWithUs(startSender(options));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) =>
      note(JSON.parse(line) as Line),
    );
    child.once('exit', (code) => {
      if (!isStopped) throw new Error(`postern send ended by itself, with exit code ${code}`);
    });
    return child;
  });
  return {
    acknowledged,
    figures,
    stop: async () => {
      isStopped = true;
      await Promise.all(
        running.map(async (child) => {
          const closed = once(child, 'close');
          child.kill('SIGTERM');
          await closed;
        }),
      );
    },
  };
}

function startSender({ url, certificates, secret, perSecond }: SendersOptions): ChildProcess {
  const file = (name: string) => join(certificates, name);
  const identity = ['--cert', file('client.pem'), '--key', file('client.key'), '--ca', file('ca.pem')];
  const pace = ['--count', String(ENDLESS), '--rate', `${perSecond}/s`];
  return spawn(
    process.execPath,
    [MAIN, 'send', url, ...identity, ...pace, '--fast', '--json', '--event', 'read.completed'],
    {
      env: { ...process.env, POSTERN_SEND_SECRET: `whsec_${secret}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
}
