// `mcp-valet keys`: API keys of an account, without one at hand. What the operator's first key is for when it was lost.
import { listApiKeys } from '../api-keys/list-store.ts';
import {
  type ApiKeyRow,
  assertRoomForKey,
  findApiKey,
  mintApiKey,
  revokeApiKey,
  revokeTokensOf,
} from '../api-keys/store.ts';
import { openPage } from '../page.ts';
import { getUser, getUserIds, lockUser } from '../users/store.ts';
import { type AccountOptions, type Env, withAccount } from './account.ts';
import { CommandError, type CommandGroup, type CommandResult, shown } from './program.ts';
import { table } from './table.ts';

const kinds = ['admin', 'enterprise', 'standard'] as const;
const kindOf = { admin: 'adm', enterprise: 'ent', standard: 'std' } as const;
const maxShown = 1_000;

export const keyCommands: CommandGroup = (program, terminal, done) => {
  const keys = program.command('keys').description('API keys. An embedded database must not be in use by a gateway.');
  keys
    .command('create')
    .description('Make a key and print it, this once.')
    .requiredOption('--name <name>', 'what it is listed as')
    .option('--kind <kind>', `${kinds.join(', ')}; a standard key acts as --user only`, 'enterprise')
    .option('--user <user>', 'the key’s own user: a username or usr_ id')
    .option('--only-users <users...>', 'of an enterprise key: the only users it may name')
    .option('--days <days>', 'life in days; without, it does not end', Number)
    .option('--account <name>', 'of this account instead of the operator’s own')
    .option('--json', 'answer in JSON')
    .action(done((options: CreateOptions) => create(options, terminal.env)));
  keys
    .command('list')
    .description('List keys, newest first; never their text.')
    .option('--user <user>', 'of this user')
    .option('--account <name>', 'of this account instead of the operator’s own')
    .option('--json', 'answer in JSON')
    .action(done((options: AccountOptions & { user?: string }) => list(options, terminal.env)));
  keys
    .command('revoke')
    .description('End a key at once, on every gateway, with the tokens it minted.')
    .argument('<keyId>')
    .option('--account <name>', 'of this account instead of the operator’s own')
    .option('--json', 'answer in JSON')
    .action(done((keyId: string, options: AccountOptions) => revoke(keyId, options, terminal.env)));
};

interface CreateOptions extends AccountOptions {
  name: string;
  kind: string;
  user?: string;
  onlyUsers?: string[];
  days?: number;
}

async function create(options: CreateOptions, env: Env): Promise<CommandResult> {
  const { name, days, onlyUsers } = options;
  const kind = kinds.find((known) => known === options.kind);
  if (kind === undefined) throw new CommandError(`--kind is one of ${kinds.join(', ')}.`);
  if (days !== undefined && !(Number.isInteger(days) && days >= 1 && days <= 3_650))
    throw new CommandError('--days is a whole number from 1 to 3650.');
  if (kind === 'standard' && options.user === undefined) throw new CommandError('A standard key needs --user.');
  if (kind !== 'enterprise' && onlyUsers !== undefined) throw new CommandError('--only-users is for enterprise keys.');
  if (name.length > 100) throw new CommandError('--name has at most 100 characters.');
  return withAccount(env, options, async ({ tx, account, keyring, tell }) => {
    const user = options.user === undefined ? undefined : await getUser(tx, account.id, options.user);
    if (user !== undefined) {
      await lockUser(tx, account.id, user.id);
      await assertRoomForKey(tx, account.id, user.id);
    }
    const { row, token } = await mintApiKey(tx, keyring, {
      accountId: account.id,
      kind: kindOf[kind],
      name,
      userId: user?.id ?? null,
      expiresInDays: days,
      allowedUsers: onlyUsers === undefined ? null : await getUserIds(tx, account.id, onlyUsers),
    });
    await tell({ action: 'api_key.create', target: row.id, details: { kind: row.kind, name } });
    const answer = {
      keyId: row.id,
      kind: row.kind,
      name,
      apiKey: token,
      expiresAt: row.expiresAt?.toISOString() ?? null,
    };
    return shown(options.json, answer, `${token}\n\nKey ${row.id}, shown this once.`);
  });
}

async function list(options: AccountOptions & { user?: string }, env: Env): Promise<CommandResult> {
  return withAccount(env, options, async ({ tx, account }) => {
    const user = options.user === undefined ? undefined : await getUser(tx, account.id, options.user);
    const page = { ...openPage('keys', ['time', 'text'], {}), limit: maxShown };
    const { rows, total } = await listApiKeys(tx, account.id, { userId: user?.id }, page);
    const keys = rows.slice(0, maxShown).map((row) => ({
      keyId: row.id,
      kind: row.kind,
      name: row.name,
      prefix: row.prefix,
      user: row.username,
      state: stateOf(row),
      lastUsedAt: row.lastUsedAt?.toISOString() ?? null,
    }));
    const lines = table(keys, ['keyId', 'kind', 'name', 'user', 'state', 'lastUsedAt']);
    return shown(options.json, { keys, total }, total > maxShown ? `${lines}\n… ${total} in all` : lines);
  });
}

function stateOf({ revokedAt, expiresAt }: ApiKeyRow): string {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'active';
  return expiresAt.getTime() <= Date.now() ? 'expired' : `until ${expiresAt.toISOString()}`;
}

async function revoke(keyId: string, options: AccountOptions, env: Env): Promise<CommandResult> {
  return withAccount(env, options, async ({ tx, account, tell }) => {
    const row = await findApiKey(tx, account.id, keyId);
    if (row === undefined) throw new CommandError(`Account ${account.name} has no key ${keyId}.`);
    await revokeApiKey(tx, account.id, row.id);
    const tokens = await revokeTokensOf(tx, account.id, [row.id]);
    const details = { kind: row.kind, name: row.name, tokens: tokens.length };
    const topics = [row.id, ...tokens].map((id) => `key:${id}` as const);
    await tell({ action: 'api_key.revoke', target: row.id, details }, ...topics);
    return shown(
      options.json,
      { status: 'revoked', keyId: row.id, tokens: tokens.length },
      `Revoked ${row.id} (${row.name}).`,
    );
  });
}
