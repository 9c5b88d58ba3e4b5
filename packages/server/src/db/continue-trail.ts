// Places in the trail go on after the last one, in a database that counts its transactions from the start again because it was filled row by row:
// from a backup of ours or by `pg_restore`. What is written before this ran would look like put in afterwards, so it runs before anything is written.
import type { Row } from './driver.ts';

type Run = (script: string) => Promise<Row[]>;

/**
 * With `isCopy` also after rows that no checkpoint covers yet. Without, checkpoints alone count: a row from the future is for verification to find.
 * Answers whether the database had fallen behind. In a transaction of the schema's owner.
 */
export async function continueTrail(run: Run, { isCopy }: { isCopy: boolean }): Promise<boolean> {
  await run(`set local role valet_app;
    select set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true), set_config('valet.task', 'seal', true)`);
  const rows = `(select xid::text::numeric from calls order by xid desc limit 1),
    (select outcome_xid::text::numeric from calls where outcome_xid is not null order by outcome_xid desc limit 1),
    (select xid::text::numeric from audit_events order by xid desc limit 1)`;
  const [row] = await run(`select (case when ${String(isCopy)} then p.highest + 1 else p.sealed end
      - valet_trail_xid(pg_snapshot_xmin(pg_current_snapshot()))::text::numeric)::text as behind,
    (p.highest + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::numeric)::text as distance
    from (select s.sealed, greatest(s.sealed, ${rows}) as highest
      from (select coalesce((select h1::numeric from checkpoints order by id desc limit 1), 0) as sealed) as s) as p`);
  await run('set local role none');
  if (row === undefined || BigInt(row['behind'] as string) <= 0n) return false;
  await run(`create or replace function valet_trail_xid(xid xid8) returns xid8 language sql immutable parallel safe as
    $$ select ((xid::text)::bigint + ${BigInt(row['distance'] as string)})::text::xid8 $$`);
  return true;
}
