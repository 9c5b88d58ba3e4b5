// A change and its audit event are one transaction: when the event cannot be written, nothing has changed, whichever route it was.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { type Stage, sendWire, startStage, unique } from './stage.ts';
import { managed } from './table.ts';

const tables = ['users', 'servers', 'api_keys', 'connectors', 'credentials', 'secrets', 'data_keys', 'claims'];

/** Refuses every event of success; refusals and failures may still be written. */
const breakTrail = `
  create function break_trail() returns trigger language plpgsql as $$ begin raise exception 'the trail is broken'; end $$;
  create trigger break_trail before insert on audit_events for each row when (new.outcome = 'ok') execute function break_trail();`;
const mendTrail = 'drop trigger if exists break_trail on audit_events; drop function if exists break_trail();';

describe.each(testDatabases())('a change without its audit event on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());
  afterEach(() => stage.rig.asOwner(mendTrail));

  /** Everything that management can change, as digests. When a key was last used is no change. */
  async function snapshot(): Promise<Record<string, string | undefined>> {
    const { rig, home } = stage;
    const digests = await Promise.all(
      tables.map(async (table) => {
        const rows = `select (to_jsonb(x) - 'last_used_at')::text as t from ${table} x`;
        const [row] = await rig.sql<{ digest: string }>(
          home.accountId,
          `select md5(coalesce(string_agg(t, ' ' order by t), '')) as digest from (${rows}) y`,
        );
        return [table, row?.digest] as const;
      }),
    );
    const accounts = await rig.sql<{ id: string }>('*', 'select id from accounts order by id');
    return { ...Object.fromEntries(digests), accounts: accounts.map(({ id }) => id).join(' ') };
  }

  describe.each(managed.filter(({ route }) => route.audit !== null))('$id', ({ route, sample }) => {
    it('does not happen', async () => {
      const wire = await sample.valid(stage);
      const requestId = unique('atomic');
      const headers = { 'x-request-id': requestId, ...(route.method === 'POST' && { 'idempotency-key': requestId }) };
      const before = await snapshot();
      await stage.rig.asOwner(breakTrail);
      const answer = await sendWire(stage, route, wire, { key: stage.home.admin, headers });
      expect(answer.status, answer.text).toBe(500);
      expect(answer.text).not.toContain('trail');
      expect(await snapshot()).toEqual(before);
      const { events } = await stage.rig.manage('GET', `/api/audit?requestId=${requestId}`);
      expect(events).toMatchObject([{ action: route.audit, outcome: 'failed', reason: 'INTERNAL_ERROR' }]);

      await stage.rig.asOwner(mendTrail);
      const again = await sendWire(stage, route, wire, { key: stage.home.admin, headers });
      expect([again.status, again.headers.get('idempotent-replayed')]).toEqual([route.status, null]);
    });
  });
});
