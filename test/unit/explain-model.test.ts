// POL-1: what `explain` says a call would come to is what the call comes to: generated rules, callers and calls on a real gateway, asked first and
// then made; and by drafted rules, then saved. Asking leaves no trace: nothing is counted, opened, written or sent.
import { isDeepStrictEqual } from 'node:util';
import { errorTable } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Caller, type ExplainStage, startExplainStage } from '../support/explain-stage.ts';
import type { Answer, Json } from '../support/gateway.ts';
import { Chance, fuzzSeed } from '../support/policy-rules.ts';

const rounds = 75;
const perRound = 4;
const seed = fuzzSeed();
/** Made out of fields, so that a typing error does not compare undefined with undefined. */
interface Ending {
  code: string | null;
  message: string | null;
}
const executed: Ending = { code: null, message: null };

describe(`explain (VALET_FUZZ_SEED=${seed})`, () => {
  const chance = new Chance(seed);
  let stage: ExplainStage;
  let count = 0;
  let account: string;
  beforeAll(async () => {
    stage = await startExplainStage(chance);
    account = (await stage.rig.manage('GET', '/api/me')).account.accountId;
  }, 120_000);
  afterAll(() => stage?.close());

  const ask = (question: Json): Promise<Json> => stage.rig.manage('POST', '/api/explain', question);

  /** The direct tool call. Its dialect has words for codes, and statuses that are the codes' own. */
  async function directly({ key, headers }: Caller, target: Json, id: string, said: Json): Promise<Ending> {
    const { connectorId: serverName, action: methodName, arguments: args, credentialId } = target;
    const sent = { ...headers, 'x-request-id': id, ...(credentialId && { 'x-credential-id': credentialId }) };
    const body = { serverName, methodName, args };
    const answer = await stage.rig.send('/mcp/tool/call', { key, headers: sent, body });
    if (answer.body.success === true) return executed;
    const isSame = said.code !== null && errorTable[said.code as keyof typeof errorTable].status === answer.status;
    return { code: isSame ? said.code : `status ${answer.status}`, message: answer.body.error };
  }

  /** execute_action_alloy on a server in connectivity mode. */
  async function byServer({ key, headers }: Caller, serverId: string, target: Json, id: string): Promise<Ending> {
    const { connectorId, action: actionId, arguments: parameters, credentialId } = target;
    const args = { connectorId, actionId, parameters, ...(credentialId && { credentialId }) };
    const answer: Answer = await stage.rig.rpc(
      `/mcp/${serverId}`,
      { method: 'tools/call', params: { name: 'execute_action_alloy', arguments: args } },
      { key, headers: { ...headers, 'x-request-id': id } },
    );
    const { error, result } = answer.body;
    if (error !== undefined) return { code: error.data.code, message: error.message };
    const told = result._meta?.['mcp-valet/error'];
    if (told === undefined) return executed;
    const text = result.content.map(({ text: one }: Json) => one).find((one: string) => one.includes('"error"'));
    return { code: told.code, message: JSON.parse(text).error };
  }

  /** The reason that the journal or, where nothing was journaled, the trail has for the call. */
  async function reasonOf(id: string): Promise<string | null> {
    const look = (table: string) =>
      stage.rig.sql<{ reason: string | null }>(
        account,
        `select reason from ${table} where account_id = $1 and request_id = $2 and reason is not null and reason <> 'fallback'`,
        [account, id],
      );
    for (let tries = 0; ; tries++) {
      const rows = [...(await look('calls')), ...(await look('audit_events'))];
      if (rows.length > 0 || tries > 40) return rows[0]?.reason ?? null;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  it(`says what the call then comes to: outcome, code, message and reason of ${rounds * perRound} calls`, async () => {
    const seen = new Map<string, number>();
    let notes = 0;
    const [meta, some] = stage.servers as [string, string];
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < 3; i++) await stage.change();
      for (let i = 0; i < perRound; i++) {
        const caller = stage.caller();
        const target = stage.target();
        const serverId = caller.isUserToken ? chance.pick([meta, some]) : chance.pick([null, null, meta, some]);
        const question = { ...caller.question, ...target, ...(serverId !== null && { serverId }) };
        const said = await ask(question);
        const id = `req-explain-${++count}`;
        const real =
          serverId === null ? await directly(caller, target, id, said) : await byServer(caller, serverId, target, id);
        const context = JSON.stringify({ seed, round, question, said, real });
        // Whether an upstream knows an action is the upstream's to say, unless its list was read before.
        const isUpstreams =
          real.message === 'Action not found' && said.outcome === 'execute' && target.connectorId !== 'shop';
        if (!isUpstreams) {
          expect({ code: said.code, message: said.message, context }).toEqual({ ...real, context });
          expect([said.outcome, context]).toEqual([real.code === null ? 'execute' : 'refuse', context]);
          if (real.code !== null && said.code !== 'NOT_FOUND') {
            const noted = await reasonOf(id);
            // Whoever is not even let in leaves no row of a call, and of many refusals of one key in a minute only the count is kept.
            if (noted !== null) {
              notes++;
              expect([said.reason, context]).toEqual([noted, context]);
            }
          }
        }
        const layer = said.outcome === 'execute' ? 'execute' : said.decidedBy.layer;
        seen.set(layer, (seen.get(layer) ?? 0) + 1);
      }
    }
    // Which layers a seed happens to meet differs; each has its own example in test/security.
    expect([seen.size >= 6, Object.fromEntries(seen)]).toEqual([true, expect.anything()]);
    expect(notes).toBeGreaterThan(rounds / 3);
    expect(seen.get('execute')).toBeGreaterThan((rounds * perRound) / 20);
  }, 300_000);

  it('lists exactly the tools whose call it says would be executed, with what the caller holds', async () => {
    const [, , direct] = stage.servers as [string, string, string];
    for (let round = 0; round < 40; round++) {
      await stage.change();
      const caller = stage.caller();
      const answer = await stage.rig.rpc(`/mcp/${direct}`, { method: 'tools/list' }, caller);
      const connectorId = chance.pick(['alpha', 'beta', 'shop']);
      for (const action of connectorId === 'shop' ? ['getItem', 'listItems'] : ['whoami', 'echo', 'add']) {
        const args = action === 'getItem' ? { id: 1 } : {};
        const said = await ask({ ...caller.question, serverId: direct, connectorId, action, arguments: args });
        const listed =
          answer.body.result?.tools.some(({ name }: Json) => name === `${connectorId}__${action}`) ?? false;
        // Limits and budgets say when, not what; without a credential the connector shows nothing that it needs one for.
        const isLater = ['limit'].includes(said.decidedBy.layer) || said.reason === 'budget_spent';
        const context = JSON.stringify({ seed, round, question: caller.question, said });
        if (!isLater) expect([listed, context]).toEqual([said.outcome === 'execute', context]);
      }
    }
  }, 120_000);

  it('says by a draft what it says once the draft is saved, alone or among many', async () => {
    const { manage } = stage.rig;
    let differed = 0;
    for (let round = 0; round < 12; round++) {
      await stage.change();
      const serverId = chance.pick(stage.servers);
      const draft = { restrictions: stage.restrictions() };
      const questions = Array.from<undefined, Json>({ length: 5 }, () => ({
        ...stage.caller().question,
        ...stage.target(),
        serverId,
      }));
      const plain = questions.map(({ userId, connectorId, action }) => ({ userId, connectorId, action }));
      const askMany = (more: Json): Promise<Json> =>
        manage('POST', '/api/explain/many', { serverId, questions: plain, ...more });
      const before = await manage('GET', `/api/servers/${serverId}`);
      const now = [];
      const drafted = [];
      for (const question of questions) {
        now.push(await ask(question));
        drafted.push(await ask({ ...question, draft }));
      }
      const draftedMany = await askMany({ draft });
      expect(await manage('GET', `/api/servers/${serverId}`)).toEqual(before);

      await manage('PUT', `/api/servers/${serverId}`, draft);
      const saved = [];
      for (const question of questions) saved.push(await ask(question));
      const context = JSON.stringify({ seed, round, questions, draft });
      // What is left of a limit grows by itself while calls of before leave its window.
      const still = (limits: Json[]) => limits.map(({ remaining: _, ...limit }) => limit);
      const unmarked = (all: Json[]) =>
        all.map(({ isDraft: _, limits, ...said }) => ({ ...said, limits: still(limits), context }));
      expect(unmarked(drafted)).toEqual(unmarked(saved));
      expect(unmarked(draftedMany['explanations'])).toEqual(unmarked((await askMany({}))['explanations']));
      expect([drafted, saved, now].map((all) => [...new Set(all.map(({ isDraft }) => isDraft))])).toEqual([
        [true],
        [false],
        [false],
      ]);
      if (JSON.stringify(unmarked(now)) !== JSON.stringify(unmarked(saved))) differed++;
    }
    // Drafts that change nothing would show nothing.
    expect(differed).toBeGreaterThan(0);
  });

  it('leaves no trace: nothing counted, opened, written or sent', async () => {
    const { parts } = stage.rig.gateway.gateway;
    let opened = 0;
    let told = 0;
    const { open } = parts.vault;
    const { refused } = parts.trail;
    parts.trail.refused = (event) => {
      told++;
      return refused.call(parts.trail, event);
    };
    parts.vault.open = (...given) => {
      opened++;
      return open.apply(parts.vault, given);
    };
    const rows = async () => {
      // What came before is written a moment after its answer; the sum of what was repeated before, whenever its time is over.
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const [found] = await stage.rig.sql<Json>(
        account,
        `select (select count(*) from calls) as calls, (select count(*) from audit_events where action in ('call.refuse', 'user.override', 'policy.explain', 'server.update')
            and not details ? 'collapsed') as events,
          (select coalesce(sum(calls_used), 0) from api_keys) as budget, (select coalesce(sum(used), 0) from quota_counters) as quota`,
      );
      return JSON.stringify(found);
    };
    const before = await rows();
    try {
      for (let i = 0; i < 60; i++) {
        const caller = stage.caller();
        const place = chance.is(0.5)
          ? { serverId: chance.pick(stage.servers), draft: { restrictions: stage.restrictions() } }
          : {};
        const question = { ...caller.question, ...stage.target(), ...place };
        let [first, again] = [await ask(question), await ask(question)];
        // A call of before may leave its window between two questions; what a question counted would change every answer.
        for (let tries = 0; tries < 4 && !isDeepStrictEqual(first, again); tries++)
          [first, again] = [again, await ask(question)];
        expect(again).toEqual(first);
      }
    } finally {
      parts.vault.open = open;
      parts.trail.refused = refused;
    }
    expect([opened, told]).toEqual([0, 0]);
    expect(await rows()).toBe(before);
  });
});
