// What a backup reads with, and what a restore leaves behind: the request role and one moment, no table passed over in silence, every wall in its
// place again. Whole backups of whole gateways are in test/durability.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Database, internalsOf, openDatabase } from '../../packages/server/src/db/client.ts';
import { CopyRefused, readAll, writeAll } from '../../packages/server/src/db/copy.ts';
import { newId } from '../../packages/server/src/ids.ts';
import { type TestDatabase, testDatabases } from '../support/database.ts';
import { catalogue } from './schema-dump.ts';

describe.each(testDatabases())('copies on $kind', ({ open }) => {
  let test: TestDatabase;
  let db: Database;
  beforeAll(async () => {
    test = await open();
    db = await openDatabase({ url: test.url });
  });
  afterAll(async () => {
    await db?.close();
    await test?.close();
  });
  const asOwner = (script: string) =>
    internalsOf(db).driver.asOwner((owner) => owner.transaction((run) => run(script)));
  const tables = () => readAll(db, async (reading) => reading.tables);

  it('are read as the request role, of one moment, without a way to write', async () => {
    await asOwner(`create view who_reads as select current_user::text as name, current_setting('valet.task') as task,
      current_setting('transaction_isolation') as isolation, current_setting('transaction_read_only') as read_only;
      grant select on who_reads to valet_app`);
    const read = await readAll(db, async ({ rows }) => {
      for await (const [row = ''] of rows('who_reads')) return JSON.parse(row);
    });
    await asOwner('drop view who_reads');
    expect(read).toEqual({ name: 'valet_app', task: 'backup', isolation: 'repeatable read', read_only: 'on' });
  });

  it('leave out who is signed in and what runs now, and refuse rather than leave out anything else', async () => {
    const copied = await tables();
    expect(copied).toEqual(expect.arrayContaining(['accounts', 'api_keys', 'audit_events', 'master_keys', 'secrets']));
    for (const table of ['dashboard_sessions', 'master_key_holders', 'replicas', 'rate_windows'])
      expect(copied).not.toContain(table);
    await asOwner('create table passed_over (id text primary key); alter table passed_over enable row level security');
    try {
      await expect(tables()).rejects.toThrow(CopyRefused);
    } finally {
      await asOwner('drop table passed_over');
    }
  });

  it('put every wall and trigger back before they commit, and go on behind the last place of the trail', async () => {
    // Of a database that had counted further than this one, and not sealed yet.
    const last = {
      seq: 1,
      xid: '900000000',
      format: 1,
      id: newId('aud'),
      account_id: '_system',
      action: 'test.copied',
    };
    const row = JSON.stringify({ ...last, at: new Date().toISOString(), outcome: 'ok', details: {} });
    await writeAll(db, ['audit_events'], ({ write }) => write('audit_events', [row]));
    const place = 'select valet_trail_xid(pg_current_xact_id())::text::bigint > 900000000 as behind';
    expect(await catalogue(db, place)).toEqual([{ behind: true }]);
    const open = await catalogue(
      db,
      `select c.relname as name from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
         and c.relname <> 'valet_migrations' and not (c.relrowsecurity and c.relforcerowsecurity)
       union all select t.tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
       where not t.tgisinternal and c.relnamespace = 'public'::regnamespace and t.tgenabled = 'D'`,
    );
    expect(open).toEqual([]);
  });
});
