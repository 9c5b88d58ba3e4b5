// The first start makes the account `default` with its user `default` and an admin key; every start brings the configured key in line.
// Prints nothing itself: a key that was generated is returned once, for whoever started us to show. Safe in several replicas at a time.
import {
  createAccount,
  defaultAccountName,
  findAccountByName,
  lockAccount,
  staticKeyName,
  storeStaticKey,
} from './accounts/store.ts';
import { findApiKeyByText, revokeApiKeysNamed } from './api-keys/store.ts';
import { recordEvent } from './audit/record.ts';
import { type Config, ConfigError } from './config.ts';
import type { Keyring } from './crypto/keyring.ts';
import { parseToken } from './crypto/token.ts';
import type { Database } from './db/client.ts';
import { accountScope, installationScope, withScope } from './db/scope.ts';
import { newId } from './ids.ts';
import { Refusal } from './refusal.ts';

export interface BootstrapResult {
  /** The account `default`. */
  accountId: string;
  /** The text of the first admin key, when this start generated it. Print it once; nobody can read it again. */
  generatedApiKey: string | undefined;
  /** What the operator should know about the configured key. */
  warnings: string[];
}

export interface BootstrapParts {
  db: Database;
  keyring: Keyring;
  config: Pick<Config, 'apiKey'>;
}

export async function bootstrap({ db, keyring, config }: BootstrapParts): Promise<BootstrapResult> {
  const apiKey = config.apiKey?.reveal();
  // Identification takes the prefix for a key of our own and would refuse every request with it.
  if (apiKey?.startsWith('mcpv_') && parseToken(apiKey) !== 'adm')
    throw new ConfigError(['VALET_API_KEY begins like a key of this gateway and is no whole admin key: copy it again']);
  const find = () => withScope(db, installationScope, (tx) => findAccountByName(tx, defaultAccountName));
  const existing = await find();
  if (existing === undefined) {
    const made = await firstStart(db, keyring, apiKey);
    if (made !== undefined) return made;
  }
  const account = existing ?? (await find());
  if (account === undefined) throw new Error('The account "default" was made by another process and is not there.');
  const warnings = apiKey === undefined ? [] : await alignStaticKey(db, keyring, account.id, apiKey);
  return { accountId: account.id, generatedApiKey: undefined, warnings };
}

/** Undefined when another replica was first: the unique name decides. */
async function firstStart(
  db: Database,
  keyring: Keyring,
  apiKey: string | undefined,
): Promise<BootstrapResult | undefined> {
  const id = newId('acc');
  try {
    return await withScope(db, accountScope(id), async (tx) => {
      const { key, token } = await createAccount(tx, keyring, { id, name: defaultAccountName, apiKey });
      const details = { name: defaultAccountName, key_id: key.id };
      await recordEvent(tx, {
        accountId: id,
        actor: null,
        action: 'account.create',
        outcome: 'ok',
        target: id,
        details,
      });
      return { accountId: id, generatedApiKey: token, warnings: [] };
    });
  } catch (error) {
    if (error instanceof Refusal && error.code === 'CONFLICT') return undefined;
    throw error;
  }
}

/** A changed VALET_API_KEY ends the one before it. A key that was revoked stays revoked, whatever the configuration says. */
async function alignStaticKey(db: Database, keyring: Keyring, accountId: string, apiKey: string): Promise<string[]> {
  return withScope(db, accountScope(accountId), async (tx) => {
    await lockAccount(tx, accountId);
    const found = await findApiKeyByText(tx, keyring, accountId, apiKey);
    if (found !== undefined) {
      if (found.revokedAt !== null) return [`${staticKeyName} was revoked and opens nothing; configure another key`];
      return found.kind === 'adm'
        ? []
        : [`${staticKeyName} is the text of another key (${found.id}), which is no admin key`];
    }
    const ended = await revokeApiKeysNamed(tx, accountId, 'adm', staticKeyName);
    const key = await storeStaticKey(tx, keyring, accountId, apiKey);
    const details = { kind: key.kind, name: key.name, ended };
    await recordEvent(tx, { accountId, actor: null, action: 'api_key.create', outcome: 'ok', target: key.id, details });
    for (const id of ended) await db.changes.publish(tx, `key:${id}`);
    return [];
  });
}
