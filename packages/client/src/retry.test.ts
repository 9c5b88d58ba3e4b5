// The retry table, cell by cell.
import { describe, expect, it } from 'vitest';
import { decide, type FailureKind, type RetryFacts } from './retry.ts';

const facts = (changed: Partial<RetryFacts> = {}): RetryFacts => ({
  repeatable: false,
  promised: false,
  believes: true,
  settled: true,
  ownKey: true,
  shouldRetry: undefined,
  retries: 0,
  maxRetries: 2,
  polls: 0,
  affordable: true,
  refreshable: false,
  retryAfterMs: undefined,
  remainingMs: 60_000,
  random: 0,
  ...changed,
});

const columns = {
  repeatable: { repeatable: true },
  promised: { promised: true },
  neither: {},
} as const;

const table: Record<FailureKind, Record<keyof typeof columns, 'retry' | 'stop'>> = {
  'not-sent': { repeatable: 'retry', promised: 'retry', neither: 'retry' },
  limited: { repeatable: 'retry', promised: 'retry', neither: 'retry' },
  unavailable: { repeatable: 'retry', promised: 'retry', neither: 'stop' },
  lost: { repeatable: 'retry', promised: 'retry', neither: 'stop' },
  running: { repeatable: 'retry', promised: 'retry', neither: 'retry' },
  refused: { repeatable: 'retry', promised: 'retry', neither: 'retry' },
  unauthorized: { repeatable: 'stop', promised: 'stop', neither: 'stop' },
  final: { repeatable: 'stop', promised: 'stop', neither: 'stop' },
};

describe('decide', () => {
  for (const [kind, row] of Object.entries(table)) {
    for (const [column, action] of Object.entries(row)) {
      it(`${action === 'retry' ? 'repeats' : 'does not repeat'} ${kind} when ${column}`, () => {
        expect(decide(kind as FailureKind, facts(columns[column as keyof typeof columns])).action).toBe(action);
      });
    }
  }

  it('repeats a 503 without a promise only when the server says so', () => {
    expect(decide('unavailable', facts({ shouldRetry: true })).action).toBe('retry');
    expect(decide('lost', facts({ shouldRetry: true })).action).toBe('stop');
  });

  it('obeys a server that says not to retry, unless nothing was sent', () => {
    expect(decide('lost', facts({ repeatable: true, shouldRetry: false })).action).toBe('stop');
    expect(decide('limited', facts({ shouldRetry: false })).action).toBe('stop');
    expect(decide('not-sent', facts({ shouldRetry: false })).action).toBe('retry');
  });

  it('repeats a refusal with a new key, but with the old one while an earlier attempt may still run', () => {
    expect(decide('refused', facts())).toMatchObject({ action: 'retry', newKey: true });
    expect(decide('refused', facts({ settled: false }))).toMatchObject({ action: 'retry', newKey: false });
  });

  it('never changes the key of the caller, under which a stored refusal would only come again', () => {
    expect(decide('refused', facts({ ownKey: false })).action).toBe('stop');
    for (const why of [{ settled: false }, { shouldRetry: true }])
      expect(decide('refused', facts({ ownKey: false, ...why }))).toMatchObject({ action: 'retry', newKey: false });
  });

  it('does not poll a running call whose server is not believed', () => {
    expect(decide('running', facts({ believes: false })).action).toBe('stop');
  });

  it('asks a refreshable credential once more, free of charge', () => {
    expect(decide('unauthorized', facts({ refreshable: true, retries: 2 }))).toEqual({
      action: 'retry',
      delayMs: 0,
      costs: 'nothing',
      newKey: false,
      refresh: true,
    });
  });

  it('polls a running call without spending retries, from 250 ms doubling to 2 s', () => {
    const delays = [0, 1, 2, 3, 9].map((polls) => decide('running', facts({ polls, retries: 2 })));
    expect(delays.map((d) => d.action === 'retry' && d.delayMs)).toEqual([250, 500, 1000, 2000, 2000]);
    expect(delays.every((d) => d.action === 'retry' && d.costs === 'nothing')).toBe(true);
    expect(decide('running', facts({ remainingMs: 200 })).action).toBe('stop');
  });

  it('backs off with equal jitter on 0.5 s doubling to 8 s', () => {
    const delay = (retries: number, random: number) => {
      const decision = decide('not-sent', facts({ retries, maxRetries: 99, random }));
      return decision.action === 'retry' && decision.delayMs;
    };
    expect([delay(0, 0), delay(0, 1), delay(1, 0), delay(1, 1), delay(20, 0), delay(20, 1)]).toEqual([
      250, 500, 500, 1000, 4000, 8000,
    ]);
  });

  it('waits as long as told and at most a tenth longer', () => {
    for (const random of [0, 0.5, 0.999]) {
      const decision = decide('limited', facts({ retryAfterMs: 2000, random }));
      expect(decision.action === 'retry' && decision.delayMs).toBeGreaterThanOrEqual(2000);
      expect(decision.action === 'retry' && decision.delayMs).toBeLessThanOrEqual(2200);
    }
  });

  it('does not start a retry that cannot fit, is too far away, is one too many or is not affordable', () => {
    expect(decide('limited', facts({ retryAfterMs: 2000, remainingMs: 1500 })).action).toBe('stop');
    expect(decide('limited', facts({ retryAfterMs: 30_001, remainingMs: undefined })).action).toBe('stop');
    expect(decide('limited', facts({ retryAfterMs: 30_000, remainingMs: undefined })).action).toBe('retry');
    expect(decide('not-sent', facts({ retries: 2 })).action).toBe('stop');
    expect(decide('not-sent', facts({ affordable: false })).action).toBe('stop');
  });
});
