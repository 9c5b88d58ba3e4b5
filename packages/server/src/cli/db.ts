// `mcp-valet db …`: brings a database to this version, backs it up, fills an empty one from a backup or from another database.

import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { backUp, copyFrom, type Living, living, type RestoreOptions, restore } from '../backup/copy.ts';
import { openBackup } from '../backup/format.ts';
import { type Config, loadConfig, Secret } from '../config.ts';
import { migrate } from '../db/migrate.ts';
import { keySourceOf } from '../rotation/key-source.ts';
import { version } from '../version.ts';
import { draftOf, readGiven, takeName, unwritable } from './files.ts';
import { openTarget, withDatabase } from './open.ts';
import { CommandError, type CommandGroup, type CommandResult, progressOn, shown, type Terminal } from './program.ts';

type Json = { json?: boolean };

export const dbCommands: CommandGroup = (program, terminal, done) => {
  const group = program
    .command('db')
    .description('The database: bring it to this version, back it up, restore it, move it.');
  group
    .command('migrate')
    .description(
      'Apply what this version adds. With --from, first copy everything from another database into the empty one.',
    )
    .option(
      '--from <url>',
      'pglite:<directory> or postgres://…; no gateway may use it meanwhile, or what it writes is not copied',
    )
    .option('--json', 'answer in JSON')
    .action(done((options: Json & { from?: string }) => migrateCommand(options, terminal)));
  group
    .command('backup <file>')
    .description(
      'Write everything to a file that does not exist yet. Secrets in it are sealed; the master key is not in it.',
    )
    .option('--json', 'answer in JSON')
    .addHelpText(
      'after',
      '\nGateways on PostgreSQL go on meanwhile. An embedded database must not be in use by a gateway.',
    )
    .action(done((file: string, options: Json) => backupCommand(file, options, terminal)));
  group
    .command('revocations <file>')
    .description('Write which keys and users are alive now, for a later restore of an older backup. Make it often.')
    .option('--json', 'answer in JSON')
    .action(done((file: string, options: Json) => revocationsCommand(file, options, terminal)));
  group
    .command('restore <file>')
    .description('Fill an empty database from a backup. The master key of the backup must be configured.')
    .option('--revocations <file>', 'end every key and user that was not alive when this file was made')
    .option('--keep-keys', 'keys that were revoked after the backup may sign in again; only where there were none')
    .option(
      '--revoke-keys',
      'no key of the backup may sign in; a new VALET_API_KEY makes one at the next start, or "keys create"',
    )
    .option('--json', 'answer in JSON')
    .action(done((file: string, options: RestoreChoice) => restoreCommand(file, options, terminal)));
};

type RestoreChoice = Json & { revocations?: string; keepKeys?: boolean; revokeKeys?: boolean };

function tableProgress(terminal: Terminal): (table: string, rows: number) => void {
  const progress = progressOn(terminal);
  return (table, rows) => progress(`${table}: ${rows} rows`);
}

const total = (rows: Record<string, number>): number => Object.values(rows).reduce((sum, count) => sum + count, 0);

async function migrateCommand(options: Json & { from?: string }, terminal: Terminal): Promise<CommandResult> {
  const config = loadConfig(terminal.env);
  const open = () => openTarget(config);
  if (options.from !== undefined) {
    const from = sourceOf(options.from);
    // As for a gateway: the key that is configured, or the one beside the embedded database that is copied.
    const isGiven = config.masterKey !== undefined || config.masterKeyFile !== undefined;
    const { provider } = keySourceOf(isGiven ? config : { ...config, database: from });
    const rows = await withDatabase({ database: from }, (db) =>
      copyFrom(db, version, (source) =>
        restore({ source, provider, open, keys: 'keep', from: 'database', progress: tableProgress(terminal) }),
      ),
    );
    return shown(
      options.json,
      { rows },
      `Copied ${total(rows)} rows. Start gateways on the new database only: the old one is not told of it.`,
    );
  }
  const db = await open();
  try {
    const { applied, warnings } = await migrate(db);
    const sentence = applied.length === 0 ? 'The database is of this version.' : `Applied ${applied.join(', ')}.`;
    return {
      ...shown(options.json, { applied, warnings }, sentence),
      complained: warnings.map((text) => `Warning: ${text}`).join('\n'),
    };
  } finally {
    await db.close();
  }
}

function sourceOf(text: string): Config['database'] {
  const url = new Secret(text);
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return { kind: 'postgres', url, migrateUrl: undefined };
  const dir = /^pglite:(?!memory)([^?]+)$/.exec(text)?.[1];
  if (dir === undefined)
    throw new CommandError('--from must be pglite:<directory> or postgres://user:password@host:port/database');
  return { kind: 'pglite', url, dir };
}

async function backupCommand(file: string, options: Json, terminal: Terminal): Promise<CommandResult> {
  const config = loadConfig(terminal.env);
  const draft = draftOf(file);
  const rows = await withDatabase(config, async (db) => {
    const out = createWriteStream(draft, { flags: 'wx', mode: 0o600 });
    // Opened, or refused, before anything is read.
    await once(out, 'open').catch((error: unknown) => {
      throw unwritable(draft, error);
    });
    try {
      const counts = await backUp(
        db,
        version,
        async (text) => void (out.write(text) || (await once(out, 'drain'))),
        tableProgress(terminal),
      );
      out.end();
      await once(out, 'close');
      await takeName(draft, file);
      return counts;
    } catch (error) {
      out.destroy();
      await rm(draft, { force: true });
      throw error;
    }
  });
  const note = 'Keep the master key apart from it: without that key it opens nothing.';
  return shown(options.json, { file, rows }, `Wrote ${total(rows)} rows to ${file}. ${note}`);
}

async function revocationsCommand(file: string, options: Json, terminal: Terminal): Promise<CommandResult> {
  const alive = await withDatabase(loadConfig(terminal.env), living);
  const [keys, users] = [alive.keys.length, alive.users.length];
  // Beside and renamed: the one before stays whole until this one is.
  const draft = `${file}.partial`;
  await writeFile(draft, `${JSON.stringify({ format: livingFormat, ...alive })}\n`, { mode: 0o600 })
    .then(() => rename(draft, file))
    .catch((error: unknown) => {
      throw unwritable(file, error);
    });
  return shown(options.json, { file, keys, users }, `Wrote ${keys} keys and ${users} users that are alive to ${file}.`);
}

const livingFormat = 'mcp-valet-living/1';

async function choiceOf(
  { revocations, keepKeys, revokeKeys }: RestoreChoice,
  madeAt: string,
): Promise<RestoreOptions['keys']> {
  if ([revocations !== undefined, keepKeys, revokeKeys].filter((given) => given === true).length !== 1)
    throw new CommandError(
      `The backup is from ${madeAt}. Keys and users that were ended after it would be alive again. Say which it is to be:\n  --revocations FILE  end what was not alive when FILE was made (mcp-valet db revocations)\n  --revoke-keys       end every key\n  --keep-keys         nothing was ended since`,
    );
  if (keepKeys === true) return 'keep';
  if (revokeKeys === true) return 'revoke';
  const found = readLiving(await readGiven(revocations as string, `The file ${revocations}`));
  if (found.format !== livingFormat || !Array.isArray(found.keys) || !Array.isArray(found.users))
    throw new CommandError(`${revocations} was not made by "mcp-valet db revocations".`);
  if ((found.createdAt ?? '') < madeAt)
    throw new CommandError(`${revocations} is older than the backup; it cannot say what was ended since.`);
  return { keys: found.keys.map(String), users: found.users.map(String) };
}

function readLiving(text: string): Partial<Living> & { format?: string; createdAt?: string } {
  try {
    return (JSON.parse(text) ?? {}) as ReturnType<typeof readLiving>;
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

async function restoreCommand(file: string, options: RestoreChoice, terminal: Terminal): Promise<CommandResult> {
  const config = loadConfig(terminal.env);
  const source = await openBackup(file);
  const keys = await choiceOf(options, source.header.createdAt);
  const { provider } = keySourceOf(config);
  const open = () => openTarget(config);
  const rows = await restore({ source, provider, open, keys, from: 'backup', progress: tableProgress(terminal) });
  return shown(
    options.json,
    { rows, madeAt: source.header.createdAt },
    `Restored ${total(rows)} rows of ${source.header.createdAt}.`,
  );
}
