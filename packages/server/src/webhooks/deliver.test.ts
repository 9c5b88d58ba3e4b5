// When a webhook that failed is tried again.
import { expect, it } from 'vitest';
import { pauseAfter } from './deliver.ts';

it('a failed delivery is tried ten times, with pauses that grow from 5 s to 6 h', () => {
  const pauses = Array.from({ length: 10 }, (_, n) => pauseAfter(n + 1));
  expect(pauses[0]).toBe(5_000);
  expect(pauses[1]).toBe(15_000);
  expect(pauses[8]).toBe(6 * 3_600_000);
  expect(pauses[9]).toBeNull();
  const growing = pauses.slice(0, 9).map(Number);
  expect(growing).toEqual([...growing].sort((a, b) => a - b));
});
