// What a start guarantees: one account, one key that is shown once, and a configured key that is the one in force.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { testDatabases } from '../../../test/support/database.ts';
import { listAccounts } from './accounts/store.ts';
import { listApiKeys } from './api-keys/list-store.ts';
import { findApiKeyByText, revokeApiKey } from './api-keys/store.ts';
import { bootstrap } from './bootstrap.ts';
import { ConfigError, Secret } from './config.ts';
import { localKeyProvider } from './crypto/key-provider.ts';
import { type Keyring, openKeyring } from './crypto/keyring.ts';
import { mintToken, parseToken } from './crypto/token.ts';
import { type Database, openDatabase } from './db/client.ts';
import { findPrincipal } from './db/hot-path.ts';
import { keyringStore } from './db/keyring-store.ts';
import { accountScope, installationScope, withScope } from './db/scope.ts';
import { newId } from './ids.ts';
import { openPage } from './page.ts';

describe.each(testDatabases())('bootstrap on $kind', ({ open }) => {
  let db: Database;
  let keyring: Keyring;
  let closeDatabase: () => Promise<void>;
  const start = (apiKey?: string) =>
    bootstrap({ db, keyring, config: { apiKey: apiKey === undefined ? undefined : new Secret(apiKey) } });
  const kindOf = async (token: string) => {
    const found = await findPrincipal(db, keyring.hashToken(token));
    return found === undefined || found.revoked ? undefined : found.kind;
  };
  const first = 'a-configured-admin-key-of-enough-length-1';
  const second = 'a-configured-admin-key-of-enough-length-2';

  beforeEach(async () => {
    const database = await open();
    closeDatabase = database.close;
    db = await openDatabase({ url: database.url });
    keyring = await openKeyring({
      store: keyringStore(db),
      newInstallationId: () => newId('inst'),
      provider: localKeyProvider(randomBytes(32), 'test'),
    });
  });
  afterEach(async () => {
    await db.close();
    await closeDatabase();
  });

  it('hands out the generated admin key at the first start and never again', async () => {
    const made = await start();
    expect(parseToken(made.generatedApiKey ?? '')).toBe('adm');
    expect(await kindOf(made.generatedApiKey ?? '')).toBe('adm');
    expect(await start()).toEqual({ accountId: made.accountId, generatedApiKey: undefined, warnings: [] });
  });

  it('generates nothing when a key is configured, and stores only its hash', async () => {
    const { accountId, generatedApiKey } = await start(first);
    expect(generatedApiKey).toBeUndefined();
    expect(await kindOf(first)).toBe('adm');
    const page = openPage('keys', ['time', 'text'], {});
    const { rows } = await withScope(db, accountScope(accountId), (tx) => listApiKeys(tx, accountId, {}, page));
    expect(rows.map((row) => row.prefix)).toEqual(['a-co']);
    expect(JSON.stringify(rows)).not.toContain(first.slice(5));
  });

  it('refuses a configured key that begins like one of ours and is none, which no request could use', async () => {
    const made = mintToken('adm').token;
    for (const broken of [made.slice(0, -1), `${made.slice(0, -1)}~`, mintToken('ent').token])
      await expect(start(broken)).rejects.toThrow(ConfigError);
    await start(made);
    expect(await kindOf(made)).toBe('adm');
  });

  it('ends the configured key that was replaced by another one', async () => {
    await start(first);
    expect((await start(second)).warnings).toEqual([]);
    expect(await kindOf(second)).toBe('adm');
    expect(await kindOf(first)).toBeUndefined();
  });

  it('keeps a generated key when a configured one is added later', async () => {
    const { generatedApiKey } = await start();
    await start(first);
    expect(await kindOf(generatedApiKey ?? '')).toBe('adm');
    expect(await kindOf(first)).toBe('adm');
  });

  it('does not revive a configured key that was revoked, and says so', async () => {
    const { accountId } = await start(first);
    await withScope(db, accountScope(accountId), async (tx) => {
      const row = await findApiKeyByText(tx, keyring, accountId, first);
      await revokeApiKey(tx, accountId, row?.id ?? '');
    });
    expect((await start(first)).warnings).toEqual([expect.stringContaining('was revoked')]);
    expect(await kindOf(first)).toBeUndefined();
  });

  it('makes one account and one key when several replicas start at a time', async () => {
    const results = await Promise.all([start(), start(), start()]);
    expect(new Set(results.map((result) => result.accountId)).size).toBe(1);
    expect(results.filter((result) => result.generatedApiKey !== undefined)).toHaveLength(1);
    const { total } = await withScope(db, installationScope, (tx) =>
      listAccounts(tx, openPage('accounts', ['text'], {})),
    );
    expect(total).toBe(1);
  });
});
