import { describe, expect, it } from 'vitest';
import { decideNext, type Outcome, readRetryAfter } from '../src/cli/send/rules.ts';
import { loadSender, senderNames } from '../src/config/senders.ts';

const NOW_MS = Date.UTC(2026, 9, 21, 7, 28, 0);
const profiles = new Map(senderNames('config').map((name) => [name, loadSender(name, 'config')]));
const next = (sender: string, outcome: Outcome, attempt = 1) => {
  const profile = profiles.get(sender);
  if (!profile) throw new Error(`there is no sender ${sender}`);
  return decideNext(profile, outcome, attempt, NOW_MS);
};
const pauseMs = (sender: string, retryAfter: string, attempt = 1): number | undefined => {
  const decision = next(sender, { status: 503, retryAfter }, attempt);
  return decision.kind === 'retry' ? decision.pauseMs : undefined;
};

describe('which answers are tried again', () => {
  it('codat retries every status outside 2xx, and no answer', () => {
    for (let status = 200; status <= 599; status++) {
      expect([status, next('codat', { status }).kind]).toEqual([status, status < 300 ? 'accepted' : 'retry']);
    }
    expect(next('codat', { error: 'connection refused' }).kind).toBe('retry');
  });

  it('codat-alerts retries nine statuses, and no answer', () => {
    const retried = Array.from({ length: 400 }, (_, index) => index + 200).filter(
      (status) => next('codat-alerts', { status }).kind === 'retry',
    );
    expect(retried).toEqual([408, 420, 429, 460, 502, 503, 504, 522, 524]);
    expect(next('codat-alerts', { error: 'no answer within 15 s' }).kind).toBe('retry');
  });

  it('standard-webhooks gives up on a 410 for good', () => {
    const why = '410 switches the endpoint off at standard-webhooks';
    expect(next('standard-webhooks', { status: 410 })).toEqual({ kind: 'give-up', why });
    expect(next('codat', { status: 410 }).kind).toBe('retry');
  });

  it.each(['abort-message', 'disable'])(
    'a signing sender obeys webhook-delivery: %s, the alerts do not',
    (delivery) => {
      expect(next('codat', { status: 503, delivery }).kind).toBe('give-up');
      expect(next('codat', { status: 200, delivery }).kind).toBe('accepted');
      expect(next('codat-alerts', { status: 503, delivery }).kind).toBe('retry');
    },
  );

  it('codat-alerts retries three times over two minutes, the pause growing to 60 s', () => {
    const pauses = [1, 2, 3].map((attempt) => next('codat-alerts', { status: 503 }, attempt));
    const pausesMs = pauses.map((pause) => (pause.kind === 'retry' ? pause.pauseMs : 0));
    expect(pausesMs).toEqual(pausesMs.toSorted((a, b) => a - b));
    expect(pausesMs.at(-1)).toBe(60_000);
    expect(pausesMs.reduce((sum, ms) => sum + ms)).toBe(120_000);
  });

  it('the last attempt is followed by none', () => {
    expect(next('codat', { status: 500 }, 7).kind).toBe('retry');
    expect(next('codat', { status: 500 }, 8)).toEqual({ kind: 'give-up', why: 'attempts used up' });
    expect(next('codat-alerts', { status: 503 }, 3).kind).toBe('retry');
    expect(next('codat-alerts', { status: 503 }, 4)).toEqual({ kind: 'give-up', why: 'attempts used up' });
  });
});

describe('Retry-After', () => {
  it('is read in seconds and as a date, and is nothing otherwise', () => {
    expect(readRetryAfter('120', NOW_MS)).toBe(120_000);
    expect(readRetryAfter('Wed, 21 Oct 2026 07:29:30 GMT', NOW_MS)).toBe(90_000);
    expect(readRetryAfter('Wed, 21 Oct 2015 07:28:00 GMT', NOW_MS)).toBe(0);
    for (const value of [undefined, '', '-1', '1.5', 'soon', '2026-10-21'])
      expect(readRetryAfter(value, NOW_MS)).toBe(undefined);
  });

  it('stretches a pause of codat to at most twice its length and never shortens it', () => {
    expect(pauseMs('codat', '1')).toBe(5_000);
    expect(pauseMs('codat', '7')).toBe(7_000);
    expect(pauseMs('codat', '3600')).toBe(10_000);
    expect(pauseMs('codat', 'Wed, 21 Oct 2026 07:35:00 GMT', 2)).toBe(420_000);
  });

  it('is measured by a step of a minute at least after a 429 or a missed deadline', () => {
    const pause = (outcome: Outcome, attempt = 1) => next('codat', outcome, attempt);
    expect(pause({ status: 429 })).toMatchObject({ pauseMs: 60_000 });
    expect(pause({ status: 429, retryAfter: '90' })).toMatchObject({ pauseMs: 90_000 });
    expect(pause({ status: 429, retryAfter: '3600' })).toMatchObject({ pauseMs: 120_000 });
    expect(pause({ status: 429 }, 2)).toMatchObject({ pauseMs: 300_000 });
    expect(pause({ error: 'no answer within 15 s', broken: 'deadline' })).toMatchObject({ pauseMs: 60_000 });
    expect(pause({ error: 'connection refused', broken: 'connection' })).toMatchObject({ pauseMs: 5_000 });
    expect(next('codat-alerts', { status: 429 })).toMatchObject({ pauseMs: 20_000 });
  });

  it('takes the place of a pause of codat-alerts, up to 60 s', () => {
    expect(pauseMs('codat-alerts', '1')).toBe(1_000);
    expect(pauseMs('codat-alerts', '45')).toBe(45_000);
    expect(pauseMs('codat-alerts', '120')).toBe(60_000);
    expect(pauseMs('codat-alerts', 'Wed, 21 Oct 2026 07:28:30 GMT', 3)).toBe(30_000);
  });
});
