// Commands about one account: a transaction of it, whose work is told to the trail as the operator's.
import { type AccountRow, defaultAccountName, findAccountByName } from '../accounts/store.ts';
import { recordEvent } from '../audit/record.ts';
import { loadConfig } from '../config.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { accountScope, type Db, installationScope, withScope } from '../db/scope.ts';
import type { Topic } from '../identity/cache.ts';
import { withStores } from './open.ts';
import { CommandError } from './program.ts';

export type Env = Readonly<Record<string, string | undefined>> | undefined;

/** Options of every such command. */
export interface AccountOptions {
  account?: string;
  json?: boolean;
}

export interface InAccount {
  db: Database;
  keyring: Keyring;
  /** In the scope of the account; what fails undoes all of it. */
  tx: Db;
  account: AccountRow;
  /** Writes the event of a change and tells every gateway, with the transaction's commit. */
  tell(event: { action: string; target: string; userId?: string; details?: object }, ...topics: Topic[]): Promise<void>;
}

/** Runs `work` in one transaction of the account that `--account` names; without, of the operator's own. */
export async function withAccount<T>(
  env: Env,
  { account: name = defaultAccountName }: AccountOptions,
  work: (given: InAccount) => Promise<T>,
): Promise<T> {
  return withStores(loadConfig(env), async ({ db, keyring }) => {
    const account = await withScope(db, installationScope, (tx) => findAccountByName(tx, name));
    if (account === undefined) throw new CommandError(`There is no account ${name}.`);
    return withScope(db, accountScope(account.id), (tx) =>
      work({
        db,
        keyring,
        tx,
        account,
        tell: async ({ details, ...event }, ...topics) => {
          const all = { source: 'command', ...details };
          await recordEvent(tx, { accountId: account.id, actor: null, outcome: 'ok', ...event, details: all });
          for (const topic of topics) await db.changes.publish(tx, topic);
        },
      }),
    );
  });
}
