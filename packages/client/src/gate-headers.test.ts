// What is read out of limit headers, old and new forms, and that nothing malformed is believed.
import { describe, expect, it } from 'vitest';
import { readPolicies } from './gate-headers.ts';

const wall = 1_800_000_000_000;
const read = (headers: Record<string, string>) => readPolicies(new Headers(headers), wall);
const one = {
  name: '',
  remaining: undefined,
  resetMs: undefined,
  limit: undefined,
  windowMs: undefined,
  concurrent: false,
};

describe('limit headers', () => {
  it('are read as the gateway sends them', () => {
    expect(
      read({
        'ratelimit-policy': '"user";q=100;w=60',
        ratelimit: '"user";r=99;t=61',
        'x-ratelimit-limit': '7',
        'x-ratelimit-remaining': '1',
      }),
    ).toEqual([{ name: 'user', remaining: 99, resetMs: 61_000, limit: 100, windowMs: 60_000, concurrent: false }]);
  });

  it('may tell several policies, one of them about requests in flight', () => {
    expect(
      read({
        'ratelimit-policy': '"user";q=100;w=60, "user-concurrent";q=4;qu="concurrent-requests", "account";q=500;w=3600',
        ratelimit: '"user";r=0;t=2.5, "account";r=12;t=30',
      }),
    ).toEqual([
      { name: 'user', remaining: 0, resetMs: 2500, limit: 100, windowMs: 60_000, concurrent: false },
      { name: 'account', remaining: 12, resetMs: 30_000, limit: 500, windowMs: 3_600_000, concurrent: false },
      { ...one, name: 'user-concurrent', limit: 4, concurrent: true },
    ]);
  });

  it('are read in the forms of older drafts and of everybody else', () => {
    const expected = [{ ...one, remaining: 5, resetMs: 20_000, limit: 100 }];
    expect(read({ 'x-ratelimit-limit': '100', 'x-ratelimit-remaining': '5', 'x-ratelimit-reset': '20' })).toEqual(
      expected,
    );
    expect(read({ 'ratelimit-limit': '100', 'ratelimit-remaining': '5', 'ratelimit-reset': '20' })).toEqual(expected);
    expect(read({ ratelimit: 'limit=100, remaining=5, reset=20', 'ratelimit-policy': '100;w=60' })).toEqual([
      { ...expected[0], windowMs: 60_000 },
    ]);
  });

  it('may give the reset as a date, in seconds or milliseconds', () => {
    const reset = (value: number) =>
      read({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(value) })[0]?.resetMs;
    expect(reset(wall / 1000 + 30)).toBe(30_000);
    expect(reset(wall + 30_000)).toBe(30_000);
    expect(reset(wall / 1000 - 30)).toBe(0);
  });

  it('never make anybody wait longer than an hour', () => {
    expect(read({ ratelimit: '"user";r=0;t=999999999' })[0]?.resetMs).toBe(3_600_000);
    expect(read({ 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '999999999' })[0]?.resetMs).toBe(3_600_000);
  });

  it.each(['"user";r=-1;t=-5', '"user";r=1e3;t=0x10', '"user";r=NaN;t=Infinity', '"user";r= ;t='])(
    'are ignored field by field when malformed: %s',
    (ratelimit) => {
      expect(read({ ratelimit })).toEqual([{ ...one, name: 'user' }]);
    },
  );

  it.each(['user;r=1', '"us er";r=1', `"${'x'.repeat(65)}";r=1`, ';;;,,,"', `"user";r=1${' '.repeat(3000)}x`])(
    'are ignored when they name no policy: %s',
    (ratelimit) => {
      expect(read({ ratelimit })).toEqual([]);
    },
  );

  it('are none when there are none', () => {
    expect(read({ 'content-type': 'application/json', 'x-ratelimit-reset': '20' })).toEqual([]);
  });

  it('are read up to eight policies', () => {
    const ratelimit = Array.from({ length: 50 }, (_, i) => `"p${i}";r=1`).join(',');
    expect(read({ ratelimit })).toHaveLength(8);
  });
});
