// How long keys of an issuer are used, by a clock of the test: asked for again, kept while their address is silent, and given up.
import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createKeySets } from './jwks.ts';

const uri = 'https://idp.example/keys';
const minute = 60_000;
const newJwk = (kid: string) => ({
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' }),
  kid,
});

function setUp(...kids: string[]) {
  const state = { now: 0, asked: 0, isUp: true, keys: kids.map(newJwk) as unknown[] };
  const request = async () => {
    state.asked++;
    if (!state.isUp) throw new Error('down');
    return { status: 200, headers: {}, body: Buffer.from(JSON.stringify({ keys: state.keys })) };
  };
  const sets = createKeySets({ egress: { request }, now: () => state.now });
  const has = async (kid: string | undefined, alg = 'ES256') => (await sets.find(uri, alg, kid)) !== undefined;
  return { state, has };
}
const unavailable = { code: 'UNAVAILABLE', reason: 'user_token_keys_unreachable' };

describe('a key set', () => {
  it('is asked for once for all who come at a time, and not again for 10 minutes', async () => {
    const { state, has } = setUp('a');
    expect(await Promise.all([has('a'), has('a'), has('a')])).toEqual([true, true, true]);
    state.now = 10 * minute - 1;
    expect(await has('a')).toBe(true);
    expect(state.asked).toBe(1);
    state.now = 10 * minute;
    await has('a');
    expect(state.asked).toBe(2);
  });

  it('forgets a key that was removed, at the latest after 10 minutes', async () => {
    const { state, has } = setUp('a', 'b');
    expect(await has('a')).toBe(true);
    state.keys = [state.keys[1]];
    state.now = 10 * minute;
    expect([await has('a'), await has('b')]).toEqual([false, true]);
  });

  it('is asked for a new key at most every 30 seconds', async () => {
    const { state, has } = setUp('a');
    await has('a');
    state.keys = [...state.keys, newJwk('b')];
    state.now = 29_999;
    for (let i = 0; i < 100; i++) expect(await has(i === 0 ? 'b' : `made-up-${i}`)).toBe(false);
    expect(state.asked).toBe(1);
    state.now = 30_000;
    expect(await has('b')).toBe(true);
    expect(state.asked).toBe(2);
  });

  it('serves up to an hour while its address is silent, then nobody is let in and nobody is blamed', async () => {
    const { state, has } = setUp('a');
    await has('a');
    state.isUp = false;
    for (const at of [10, 30, 59]) {
      state.now = at * minute;
      expect(await has('a')).toBe(true);
      // The key may be new: who could say so does not answer.
      await expect(has('b')).rejects.toMatchObject(unavailable);
    }
    state.now = 60 * minute;
    await expect(has('a')).rejects.toMatchObject(unavailable);
    state.isUp = true;
    state.now = 61 * minute;
    expect(await has('a')).toBe(true);
  });

  it('gives a key for its own kind of algorithm only, and none by chance where several fit', async () => {
    const { has } = setUp('a', 'b');
    expect([await has('a'), await has('a', 'RS256'), await has('a', 'EdDSA'), await has('a', 'HS256')]).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect([await has(undefined), await setUp('only').has(undefined)]).toEqual([false, true]);
    expect(await has('a', 'constructor')).toBe(false);
  });
});
