// When an upstream is left alone, and when it is asked again.
import { describe, expect, it } from 'vitest';
import { Breaker } from './breaker.ts';

function scene() {
  let now = 1_000;
  const breaker = new Breaker(() => now);
  const pass = (ms: number): void => {
    now += ms;
  };
  return { breaker, pass };
}

describe('an upstream that cannot be reached', () => {
  it('is asked until five failures in ten seconds', () => {
    const { breaker, pass } = scene();
    for (let i = 0; i < 4; i++) {
      expect(breaker.blockedMs('a')).toBe(0);
      breaker.failed('a');
      pass(1_000);
    }
    expect(breaker.isOpen('a')).toBe(false);
    breaker.failed('a');
    expect(breaker.blockedMs('a')).toBe(5_000);
  });

  it('is not left alone for failures that are far apart', () => {
    const { breaker, pass } = scene();
    for (let i = 0; i < 20; i++) {
      breaker.failed('a');
      pass(10_001);
    }
    expect(breaker.blockedMs('a')).toBe(0);
  });

  it('is tried by one caller after a pause, while the others wait for that one', () => {
    const { breaker, pass } = scene();
    for (let i = 0; i < 5; i++) breaker.failed('a');
    pass(5_000);
    expect(breaker.blockedMs('a')).toBe(0);
    expect(breaker.blockedMs('a')).toBeGreaterThan(0);
    breaker.failed('a');
    expect(breaker.blockedMs('a')).toBe(5_000);
  });

  it('is open to everybody as soon as it answered once', () => {
    const { breaker } = scene();
    for (let i = 0; i < 5; i++) breaker.failed('a');
    breaker.answered('a');
    expect(breaker.blockedMs('a')).toBe(0);
    expect(breaker.isOpen('a')).toBe(false);
  });

  it('does not shut another one', () => {
    const { breaker } = scene();
    for (let i = 0; i < 5; i++) breaker.failed('a');
    expect(breaker.blockedMs('b')).toBe(0);
  });
});
