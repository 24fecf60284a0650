import { randomUUID } from 'node:crypto';
import type { Answer } from './sender.ts';
import { waitFor } from './wait.ts';

/** Senders that go on sending, one new event after the other, each over a connection of its own. */
export interface SteadySenders {
  /** What was answered, in order. */
  readonly answers: readonly { readonly id: string; readonly answer: Answer }[];
  /** How many attempts ended without an answer; each was made again, as a sender does. */
  lost(): number;
  /** Resolves once an answer matches, already there or to come. */
  until(matches: (answer: Answer, place: number) => boolean): Promise<void>;
  /** Resolves when every event begun has its answer; throws where one was lost three times. */
  stop(): Promise<void>;
}

const MOST_ATTEMPTS = 3;
const MOST_EVENTS = 5000;

/** Starts so many senders; `send` sends one event by its id and throws where no answer came. */
export function startSenders(count: number, send: (id: string) => Promise<Answer>): SteadySenders {
  const answers: { id: string; answer: Answer }[] = [];
  const watchers = new Set<() => void>();
  let lost = 0;
  let stopped = false;
  const attempt = async (id: string, left: number): Promise<Answer> => {
    try {
      return await send(id);
    } catch (error) {
      lost += 1;
      if (left === 1) throw error;
      return attempt(id, left - 1);
    }
  };
  const run = async (): Promise<void> => {
    while (!stopped && answers.length < MOST_EVENTS) {
      const id = `msg_${randomUUID()}`;
      answers.push({ id, answer: await attempt(id, MOST_ATTEMPTS) });
      for (const look of [...watchers]) look();
    }
  };
  const running = Promise.all(Array.from({ length: count }, run));
  // Told by `stop`.
  running.catch(() => undefined);
  return {
    answers,
    lost: () => lost,
    until: async (matches) => {
      await waitFor(
        watchers,
        () => answers.find(({ answer }, place) => matches(answer, place)),
        () => `no such answer among ${answers.length}`,
      );
    },
    stop: async () => {
      stopped = true;
      await running;
    },
  };
}
