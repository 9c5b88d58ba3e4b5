// What journal and trail hold under the request ids of a run, read from the database of the override model's gateway. Expects nothing.
import type { Row } from './override-rules.ts';
import type { OverrideWorld } from './override-world.ts';

export type Written = Map<string, { rows: Row[]; signIns: number }>;

/** What the database holds under each request id, once nothing more comes. */
export async function writtenRows(
  { rig, accountIds }: Pick<OverrideWorld, 'rig' | 'accountIds'>,
  prefix: string,
): Promise<Written> {
  const read = async (): Promise<Written> => {
    const found: Written = new Map();
    const entry = (id: string) => {
      const there = found.get(id) ?? { rows: [], signIns: 0 };
      found.set(id, there);
      return there;
    };
    for (const account of Object.values(accountIds)) {
      const events = await rig.sql<Row & { id: string }>(
        account,
        `select request_id as id, 'trail' as book, action, outcome, user_id as "userId", left(attempted_user, 100) as attempted from audit_events
         where account_id = $1 and request_id like '${prefix}-%'`,
        [account],
      );
      const calls = await rig.sql<Row & { id: string }>(
        account,
        `select request_id as id, 'journal' as book, 'call' as action, outcome, user_id as "userId", left(attempted_user, 100) as attempted from calls
         where account_id = $1 and request_id like '${prefix}-%'`,
        [account],
      );
      for (const { id, ...row } of [...events, ...calls]) {
        // A refused sign-in is told to the account whose key it was, or to nobody's.
        if (row.action === 'auth.sign_in') entry(id).signIns++;
        else entry(id).rows.push(row);
      }
    }
    const signIns = await rig.sql<{ id: string }>(
      '_system',
      `select request_id as id from audit_events where request_id like '${prefix}-%'`,
    );
    for (const { id } of signIns) entry(id).signIns++;
    return found;
  };
  const size = (written: Written) =>
    [...written.values()].reduce((sum, { rows, signIns }) => sum + rows.length + signIns, 0);
  let before = -1;
  for (;;) {
    const written = await read();
    if (size(written) === before) return written;
    before = size(written);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
