import { STATUS_CODES } from 'node:http';
import { expect } from 'vitest';
import type { Gateway } from './gateway.ts';
import type { RequestLine } from './log-line.ts';
import type { Answer } from './response.ts';
import type { Upstream } from './upstream.ts';

/**
 * Runs `act` and asserts that its answer is this refusal in all three places: the sender got the status and a problem
 * document that says nothing else, the record names the reason, and the upstream saw nothing.
 */
export async function expectRefused(
  gateway: Gateway,
  upstream: Upstream,
  act: () => Promise<Answer>,
  status: number,
  reason: string,
): Promise<{ answer: Answer; record: RequestLine }> {
  const before = upstream.heads();
  const answer = await act();
  const record = await expectProblem(gateway, answer, status, reason);
  expect(upstream.heads(), 'requests that reached the upstream').toBe(before);
  return { answer, record };
}

/** Asserts an error answer of the gateway's own, and its record. */
export async function expectProblem(
  gateway: Gateway,
  answer: Answer,
  status: number,
  reason: string,
): Promise<RequestLine> {
  const record = await gateway.record(answer.id);
  expect({
    status: answer.status,
    recorded: record.status,
    reason: record.reason,
    detail: record.detail,
  }).toEqual({
    status,
    recorded: status,
    reason,
    detail: record.detail,
  });
  const problem = answer.problem() as { title: string };
  expect(problem).toEqual({ title: problem.title, status });
  // RFC 9110 renamed two of Node's titles.
  const titles = [
    STATUS_CODES[status],
    status === 413 ? 'Content Too Large' : '',
    status === 422 ? 'Unprocessable Content' : '',
  ];
  expect(titles).toContain(problem.title);
  expect(record.outcome).not.toBe('delivered');
  return record;
}

/** Asserts that the request was delivered once, with this status, and resolves with its record. */
export async function expectDelivered(gateway: Gateway, answer: Answer, status = 200): Promise<RequestLine> {
  const record = await gateway.record(answer.id);
  expect({
    status: answer.status,
    recorded: record.status,
    outcome: record.outcome,
    reason: record.reason,
  }).toEqual({
    status,
    recorded: status,
    outcome: 'delivered',
    reason: undefined,
  });
  return record;
}

/** Asserts the acknowledgement of an event that was delivered before: 200, no body, outcome `duplicate`. */
export async function expectDuplicate(gateway: Gateway, answer: Answer): Promise<void> {
  const record = await gateway.record(answer.id);
  expect({
    status: answer.status,
    body: answer.body.toString(),
    outcome: record.outcome,
    recorded: record.status,
  }).toEqual({
    status: 200,
    body: '',
    outcome: 'duplicate',
    recorded: 200,
  });
}

/** Sends copies of an event until one is delivered, as it must be once it need not be remembered; those before it are duplicates. */
export async function expectDeliveredAgain(gateway: Gateway, copy: () => Promise<Answer>): Promise<void> {
  for (;;) {
    const answer = await copy();
    const { outcome } = await gateway.record(answer.id);
    if (outcome === 'delivered') {
      await expectDelivered(gateway, answer);
      return;
    }
    await expectDuplicate(gateway, answer);
  }
}
