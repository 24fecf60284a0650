import type { Gateway } from './gateway.ts';
import { post } from './sender.ts';
import { headerOf, type Upstream } from './upstream.ts';

/** An upstream that has requests and does not answer them yet. */
export interface Held {
  /** Resolves when the first request is there, whole. */
  readonly arrived: Promise<void>;
  /** Answers all requests held so far. */
  release(status?: number): void;
}

/** Makes the upstream hold every answer from now on, until `release`. */
export function holdAnswers(upstream: Upstream): Held {
  const arrived = Promise.withResolvers<void>();
  const waiting: ((status: number) => void)[] = [];
  upstream.answer((_request, response) => {
    waiting.push((status) => response.writeHead(status).end('held'));
    arrived.resolve();
  });
  return {
    arrived: arrived.promise,
    release: (status = 200) => {
      for (const answer of waiting.splice(0)) answer(status);
    },
  };
}

/**
 * Resolves when the gateway has answered, over new connections, what was sent after everything so far: by then it has
 * read what came before.
 */
export async function settled(gateway: Gateway): Promise<void> {
  await post(gateway, { path: '/settled-no-such-route' });
  await post(gateway, { path: '/settled-no-such-route' });
}

/** How often the upstream got this event. */
export function deliveriesOf(upstream: Upstream, id: string): number {
  return upstream.requests.filter((one) => headerOf(one, 'webhook-id') === id).length;
}
