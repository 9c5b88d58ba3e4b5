// Each adapter in a real agent loop of its framework, against a real gateway: two users at the same time, many turns, and a model that uses
// the same two tool call ids over and over. Nobody's secret meets the other's call, and no answer is an old one.
import type { UserClient } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';
import { loops } from './agent-loops.ts';
import { ScriptedModel } from './scripted-model.ts';

/** Of each user; both together take 200 with each framework. */
/** Of each user. PROOF_LONG=1: as many as a long session has. */
const turns = process.env['PROOF_LONG'] === '1' ? 100 : 40;
let rig: Rig;
let fixtures: Fixtures;

beforeAll(async () => {
  rig = await startRig({ env: { VALET_RATE_LIMIT: '1000000' } });
  fixtures = await addFixtures(rig);
});
afterAll(async () => {
  await rig?.close();
  await fixtures?.close();
});

describe.each(Object.entries(loops))('%s', (name, loop) => {
  it('runs the tools of two users at once, each call once and as its own user', { timeout: 120_000 }, async () => {
    const client = rig.sdk(fixtures.home.enterprise);
    const { alice, bob } = fixtures.home;
    const run = async ({ username, canary }: typeof alice, another: typeof alice) => {
      const [marker, other] = [`${name}-${username}`, `${name}-${another.username}`];
      const model = new ScriptedModel(marker, turns);
      const user: UserClient = client.forUser(username);
      await loop(user, model, turns);
      return { marker, canary, other, heard: model.heard };
    };
    for (const { marker, canary, other, heard } of await Promise.all([run(alice, bob), run(bob, alice)])) {
      expect(heard).toHaveLength(turns);
      for (const [turn, [whoami, count]] of heard.entries()) {
        expect(whoami).toContain(marker);
        expect(whoami).not.toContain(other);
        // Counted by the upstream: an answer that was replayed, or a call that ran twice, would show here.
        expect(count).toBe(String(turn + 1));
      }
      expect(fixtures.upstream.counts().get(marker)).toBe(turns);
      // What the gateway sent on. In answers it masks the secret, so only the upstream can say.
      const calls = fixtures.upstream.recorded.filter(({ body }) => body.includes(JSON.stringify(marker)));
      expect(calls).toHaveLength(2 * turns);
      expect(new Set(calls.map(({ headers }) => headers.authorization))).toEqual(new Set([`Bearer ${canary}`]));
    }
  });
});
