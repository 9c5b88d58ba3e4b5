// Ids are unique, carry their prefix and fit the grammars of the contract.
import { describe, expect, it } from 'vitest';
import { newId, newServerId, randomBase62 } from './ids.ts';

describe('newId', () => {
  it('gives 20,000 different ids of 22 base62 characters behind the prefix', () => {
    const ids = new Set(Array.from({ length: 20_000 }, () => newId('call')));
    expect(ids.size).toBe(20_000);
    for (const id of ids) expect(id).toMatch(/^call_[0-9A-Za-z]{22}$/);
  });

  it('draws every character about equally often', () => {
    const counts = new Map<string, number>();
    for (const character of randomBase62(124_000)) counts.set(character, (counts.get(character) ?? 0) + 1);
    expect(counts.size).toBe(62);
    // 2,000 expected, standard deviation 44: seven deviations either way.
    for (const count of counts.values()) expect(Math.abs(count - 2_000)).toBeLessThan(310);
  });
});

describe('newServerId', () => {
  it.each([
    ['Production Server', /^production-server-[0-9a-f]{8}$/],
    ['a_b - C', /^a-b-c-[0-9a-f]{8}$/],
    ['___', /^server-[0-9a-f]{8}$/],
  ])('turns %j into a slug and eight hex digits', (name, shape) => {
    expect(newServerId(name)).toMatch(shape);
  });
});
