// `mcp-valet users`: users of an account from the operator's shell. Credentials and connecting are the API's and the dashboard's.
import { contract } from '@mcp-valet/shared';
import { isUniqueViolation } from '../db/errors.ts';
import { openPage } from '../page.ts';
import { getUser, insertUser, listUsers, updateUser } from '../users/store.ts';
import { type AccountOptions, type Env, withAccount } from './account.ts';
import { CommandError, type CommandGroup, type CommandResult, shown } from './program.ts';
import { table } from './table.ts';

const maxShown = 1_000;

export const userCommands: CommandGroup = (program, terminal, done) => {
  const users = program.command('users').description('Users. An embedded database must not be in use by a gateway.');
  const command = (name: string, description: string) =>
    users
      .command(name)
      .description(description)
      .option('--account <name>', 'of this account instead of the operator’s own')
      .option('--json', 'answer in JSON');
  command('create', 'Make a user.')
    .argument('<username>')
    .option('--email <email>')
    .option('--description <text>')
    .action(
      done((username: string, options: AccountOptions & { email?: string; description?: string }) =>
        create(username, options, terminal.env),
      ),
    );
  command('list', 'List users by name.').action(done((options: AccountOptions) => list(options, terminal.env)));
  for (const [name, enabled, description] of [
    ['enable', true, 'Let a user call again.'],
    ['disable', false, 'Refuse every call of a user, at once, on every gateway.'],
  ] as const)
    command(name, description)
      .argument('<user>', 'username or usr_ id')
      .action(done((user: string, options: AccountOptions) => setEnabled(user, enabled, options, terminal.env)));
};

async function create(
  username: string,
  options: AccountOptions & { email?: string; description?: string },
  env: Env,
): Promise<CommandResult> {
  const { email, description } = options;
  const checked = contract.users.create.body.safeParse({ username, email, description });
  const [wrong] = checked.error?.issues ?? [];
  if (wrong !== undefined) throw new CommandError(`The ${wrong.path.join('.')} is refused: ${wrong.message}.`);
  return withAccount(env, options, async ({ tx, account, tell }) => {
    const given = { username, email: email ?? null, description: description ?? null };
    const row = await insertUser(tx, account.id, given).catch((error: unknown) => {
      if (isUniqueViolation(error, 'users_username')) throw new CommandError(`There is a user ${username} already.`);
      throw error;
    });
    await tell({ action: 'user.create', target: row.username, userId: row.id }, `user:${row.id}`);
    return shown(options.json, { userId: row.id, username }, `Made ${username} (${row.id}).`);
  });
}

async function list(options: AccountOptions, env: Env): Promise<CommandResult> {
  return withAccount(env, options, async ({ tx, account }) => {
    const page = { ...openPage('users', ['text'], {}), limit: maxShown };
    const { rows, total } = await listUsers(tx, account.id, page);
    const users = rows.slice(0, maxShown).map((row) => ({
      username: row.username,
      userId: row.id,
      email: row.email,
      enabled: row.enabled,
      createdAt: row.createdAt.toISOString(),
    }));
    const lines = table(users, ['username', 'userId', 'email', 'enabled']);
    return shown(options.json, { users, total }, total > maxShown ? `${lines}\n… ${total} in all` : lines);
  });
}

async function setEnabled(ref: string, enabled: boolean, options: AccountOptions, env: Env): Promise<CommandResult> {
  return withAccount(env, options, async ({ tx, account, tell }) => {
    const row = await getUser(tx, account.id, ref);
    await updateUser(tx, account.id, row.id, { enabled });
    await tell(
      { action: 'user.set_enabled', target: row.username, userId: row.id, details: { enabled } },
      `user:${row.id}`,
    );
    return shown(options.json, { userId: row.id, enabled }, `${row.username} is ${enabled ? 'enabled' : 'disabled'}.`);
  });
}
