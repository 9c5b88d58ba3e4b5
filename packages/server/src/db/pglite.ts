// The embedded engine: PGlite on a locked directory or in memory, in this process. One session, one transaction at a time.
// After migration the session lives in the request role, so that a statement that forgets its scope sees no row here either.
import { readFile } from 'node:fs/promises';
import { PGlite, type Transaction } from '@electric-sql/pglite';
import { PgliteSession, PgliteTransaction } from 'drizzle-orm/pglite';
import { assertScope, type Db, type Driver, drizzleParts, enterScope, type Row, textTypeIds } from './driver.ts';
import { asDatabaseError, DatabaseUnavailable } from './errors.ts';
import { type DirectoryLock, lockDirectory } from './lock.ts';

/** Longer than for PostgreSQL: one query blocks the whole process, so a queue is normal and giving up early would only add work. */
const deadlineMs = 10_000;

export interface PgliteTarget {
  /** undefined: in memory. */
  dir: string | undefined;
  /** A tar of a data directory (PGlite's dumpDataDir) to start from. */
  from: string | undefined;
}

/** `pglite:<dir>`, `pglite:memory`, and `pglite:memory?from=<tar>` to begin with a copy of a dump. */
export function parsePgliteUrl(url: string): PgliteTarget {
  const rest = url.slice('pglite:'.length);
  if (rest !== 'memory' && !rest.startsWith('memory?')) return { dir: rest, from: undefined };
  return { dir: undefined, from: new URLSearchParams(rest.slice('memory?'.length)).get('from') ?? undefined };
}

export interface PgliteDriver extends Driver {
  /** The whole data directory as one tar, consistent; what `?from=` starts with. */
  dump(): Promise<Uint8Array>;
}

export async function openPglite(target: PgliteTarget): Promise<PgliteDriver> {
  const lock = target.dir === undefined ? undefined : await lockDirectory(target.dir);
  try {
    const parsers = Object.fromEntries(textTypeIds.map((id) => [id, (value: string) => value]));
    const pg = await PGlite.create({
      ...(target.dir === undefined ? {} : { dataDir: target.dir }),
      ...(target.from === undefined ? {} : { loadDataDir: new Blob([await readFile(target.from)]) }),
      parsers,
    });
    await enterRequestRole(pg);
    return driverOver(pg, lock);
  } catch (error) {
    lock?.release();
    throw error;
  }
}

/** Before the first migration the role does not exist yet; `asOwner` comes back here when it does. */
async function enterRequestRole(pg: PGlite): Promise<void> {
  const found = await pg.query<{ name: string }>("select rolname as name from pg_roles where rolname = 'valet_app'");
  if (found.rows.length > 0) await pg.exec('set role valet_app');
}

function driverOver(pg: PGlite, lock: DirectoryLock | undefined): PgliteDriver {
  const clientFor = (on: Transaction) => ({
    query: async (text: string, params?: unknown[], options?: object) => on.query(text, params, options),
  });

  /** `fn` does not start when its turn comes too late: the caller has its answer then. */
  async function inTurn<T>(fn: (isLost: () => boolean) => Promise<T>): Promise<T> {
    // Before the deadline is armed: nobody would hear it.
    if (pg.closed) throw new DatabaseUnavailable('CONNECTION_ENDED');
    let lost = false;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        lost = true;
        reject(new DatabaseUnavailable('DEADLINE'));
      }, deadlineMs);
    });
    const work = fn(() => lost);
    work.catch(() => undefined);
    try {
      return await Promise.race([work, deadline]);
    } catch (error) {
      throw asDatabaseError(error);
    } finally {
      clearTimeout(timer);
    }
  }

  const begin = <T>(isLost: () => boolean, fn: (on: Transaction) => Promise<T>) =>
    pg.transaction(async (on) => {
      if (isLost()) throw new DatabaseUnavailable('DEADLINE');
      return fn(on);
    });

  // The functions that every call runs take one text. Prepared once and run by name they cost half of what a query with its five messages
  // does; the session is ours alone and lives as long as the database.
  let lastPrepared = 0;
  const prepared = new Map<string, Promise<string>>();
  const prepare = async (text: string, name: string): Promise<string> => {
    await pg.exec(`prepare ${name} as ${text}`);
    return name;
  };
  const runPrepared = async (text: string, param: string): Promise<Row[]> => {
    let name = prepared.get(text);
    if (name === undefined) {
      // Kept before it is done: two first calls at a time share it. A failed one is not kept.
      name = prepare(text, `valet_call_${++lastPrepared}`);
      prepared.set(text, name);
      name.catch(() => prepared.delete(text));
    }
    const results = await pg.exec(`execute ${await name}('${param.replaceAll("'", "''")}')`);
    return results.at(-1)?.rows ?? [];
  };

  return {
    call: (text, params) =>
      inTurn(async () => {
        const [only] = params;
        if (params.length === 1 && typeof only === 'string') return runPrepared(text, only);
        return (await pg.query<Row>(text, params as unknown[])).rows;
      }),
    read: (scope, text, params) => {
      assertScope(scope);
      return inTurn((isLost) =>
        begin(isLost, async (on) => {
          await on.query(enterScope, [scope.account, scope.user]);
          return (await on.query<Row>(text, params as unknown[])).rows;
        }),
      );
    },
    transaction: <T>(scope: { account: string; user: string }, fn: (tx: Db) => Promise<T>) => {
      assertScope(scope);
      return inTurn((isLost) =>
        begin(isLost, async (on) => {
          await on.query(enterScope, [scope.account, scope.user]);
          const session = new PgliteSession(clientFor(on) as never, drizzleParts.dialect, drizzleParts.schema, {});
          return fn(
            new PgliteTransaction(drizzleParts.dialect, session as never, drizzleParts.schema) as unknown as Db,
          );
        }),
      );
    },
    asOwner: async (fn) => {
      await pg.exec('reset role');
      try {
        return await fn({
          servingLogin: undefined,
          transaction: (work) =>
            pg.transaction((on) =>
              work(async (script) => (await on.exec(script)).at(-1)?.rows ?? []),
            ) as Promise<never>,
        });
      } catch (error) {
        throw asDatabaseError(error);
      } finally {
        await enterRequestRole(pg);
      }
    },
    ping: async (timeoutMs) => {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(resolve, timeoutMs, false);
      });
      const answer = pg.closed
        ? Promise.resolve(false)
        : pg.query('select 1').then(
            () => true,
            () => false,
          );
      return Promise.race([answer, late]).finally(() => clearTimeout(timer));
    },
    dump: async () => {
      // The checkpoint inside needs the owner.
      await pg.exec('reset role');
      try {
        return new Uint8Array(await (await pg.dumpDataDir('none')).arrayBuffer());
      } finally {
        await enterRequestRole(pg);
      }
    },
    close: async () => {
      try {
        if (!pg.closed) await pg.close();
      } finally {
        lock?.release();
      }
    },
  };
}
