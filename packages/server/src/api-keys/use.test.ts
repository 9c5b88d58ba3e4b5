// When a key was last used is known to the minute, at the cost of one statement per account and minute.
import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { openTestDatabase } from '../../../../test/support/database.ts';
import { bootstrap } from '../bootstrap.ts';
import { localKeyProvider } from '../crypto/key-provider.ts';
import { openKeyring } from '../crypto/keyring.ts';
import { openDatabase } from '../db/client.ts';
import { keyringStore } from '../db/keyring-store.ts';
import { accountScope, withScope } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { openPage } from '../page.ts';
import { listApiKeys } from './list-store.ts';
import { mintApiKey } from './store.ts';
import { createKeyUse } from './use.ts';

it('notes the keys that were used and no others, also when the gateway closes before the minute is over', async () => {
  const db = await openDatabase({ url: (await openTestDatabase('pglite')).url });
  const keyring = await openKeyring({
    store: keyringStore(db),
    newInstallationId: () => newId('inst'),
    provider: localKeyProvider(randomBytes(32), 'test'),
  });
  const { accountId } = await bootstrap({ db, keyring, config: { apiKey: undefined } });
  const inAccount = accountScope(accountId);
  const { row } = await withScope(db, inAccount, (tx) =>
    mintApiKey(tx, keyring, { accountId, kind: 'ent', name: 'used', userId: null }),
  );
  const use = createKeyUse({ db, log: pino({ level: 'silent' }) });
  for (let i = 0; i < 1000; i++) use.note({ accountId, keyId: row.id });
  use.note({ accountId: 'acc_other', keyId: row.id });
  await use.close();
  const page = openPage('keys', ['time', 'text'], {});
  const { rows } = await withScope(db, inAccount, (tx) => listApiKeys(tx, accountId, {}, page));
  expect(rows.map((key) => [key.name, key.lastUsedAt !== null])).toEqual([
    ['used', true],
    ['admin', false],
  ]);
  await db.close();
});
