// Opens what commands work on, with the gateway's own configuration: the database directly and its keyring. Makes no database, no key and no row.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { type Keyring, openKeyring } from '../crypto/keyring.ts';
import { type Database, openDatabase } from '../db/client.ts';
import { DatabaseError } from '../db/errors.ts';
import { keyringStore } from '../db/keyring-store.ts';
import { DirectoryLocked } from '../db/lock.ts';
import { keySourceOf } from '../rotation/key-source.ts';
import { CommandError } from './program.ts';

/** Told apart from a database that fails: nothing is wrong with an installation whose gateway has not run yet, or runs now. */
export class NoDatabaseYet extends CommandError {}
export class NotUsedYet extends CommandError {}
export class DatabaseInUse extends CommandError {}

/** Runs `work` on the database of the configuration. `hint`: what to do instead while a gateway has the embedded one. */
export async function withDatabase<T>(
  { database }: Pick<Config, 'database'>,
  work: (db: Database) => Promise<T>,
  hint = '',
): Promise<T> {
  // Opening a directory that is no database would make one.
  if (database.kind === 'pglite' && (database.dir === undefined || !existsSync(join(database.dir, 'PG_VERSION'))))
    throw new NoDatabaseYet(
      `There is no embedded database at ${database.dir ?? 'memory'}; the first start of a gateway makes one.`,
    );
  const migrateUrl = database.kind === 'postgres' ? database.migrateUrl?.reveal() : undefined;
  let db: Database;
  try {
    db = await openDatabase({ url: database.url.reveal(), migrateUrl });
  } catch (error) {
    if (error instanceof DirectoryLocked) throw new DatabaseInUse(`${error.message}${hint && `\n${hint}`}`);
    throw error;
  }
  try {
    return await work(db);
  } catch (error) {
    if (error instanceof DatabaseError && /^42(P01|703|883)$/.test(error.code))
      throw new CommandError(
        'the database is not of this version; run "mcp-valet db migrate", or start the gateway of this version once',
      );
    throw error;
  } finally {
    await db.close();
  }
}

/** A database that may not exist yet. Only for what fills or migrates one. */
export function openTarget({ database }: Pick<Config, 'database'>): Promise<Database> {
  const migrateUrl = database.kind === 'postgres' ? database.migrateUrl?.reveal() : undefined;
  return openDatabase({ url: database.url.reveal(), migrateUrl });
}

/** The keyring of a database that a gateway has used; a wrong master key is refused here. */
export async function existingKeyring(config: Parameters<typeof keySourceOf>[0], db: Database): Promise<Keyring> {
  const store = keyringStore(db);
  const nothing = () => Promise.reject(new NotUsedYet('no gateway has used this database yet'));
  return openKeyring({
    store: { load: store.load, hasRows: nothing, create: nothing },
    newInstallationId: () => '',
    provider: keySourceOf(config).provider,
  });
}

/** Both, for commands that read and change what gateways serve. */
export function withStores<T>(
  config: Parameters<typeof keySourceOf>[0],
  work: (stores: { db: Database; keyring: Keyring }) => Promise<T>,
): Promise<T> {
  return withDatabase(config, async (db) => work({ db, keyring: await existingKeyring(config, db) }));
}
