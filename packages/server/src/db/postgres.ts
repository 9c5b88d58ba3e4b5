// The PostgreSQL engine: a pool of ten, each session already in the request role, and a deadline on everything that waits.
// postgres.js has no query or queue timeout (porsager/postgres#824), so every wait races one here. No session-level SET after connecting.
import { PostgresJsSession, PostgresJsTransaction } from 'drizzle-orm/postgres-js';
import postgres, { type PendingQuery, type Row as PgRow, type Sql, type TransactionSql } from 'postgres';
import { begin } from './begin.ts';
import {
  assertScope,
  type Db,
  type Driver,
  drizzleParts,
  enterScope,
  type OwnerSession,
  type Row,
  type Scope,
  textTypeIds,
} from './driver.ts';
import { asDatabaseError, DatabaseUnavailable } from './errors.ts';

type Query = PendingQuery<(PgRow & Iterable<PgRow>)[]>;

const deadlineMs = 3_000;
/** Statements with a varying text (IN lists) must not fill the server's memory with plans: beyond this many texts, no more are prepared. */
const maxPreparedTexts = 500;

const timeouts = { statement_timeout: 5_000, lock_timeout: 2_000, idle_in_transaction_session_timeout: 10_000 };

export const connectionOptions = {
  connect_timeout: 3,
  // The default waits up to 20 s; a steady 0.2 s finds the server 15 ms after it is back.
  backoff: () => 0.2,
  onnotice: () => undefined,
} satisfies postgres.Options<Record<string, never>>;

export function openPostgres(url: string, migrateUrl: string | undefined): Driver & { readonly url: string } {
  const sql = postgres(url, {
    ...connectionOptions,
    max: 10,
    // A connection that ends while it asks for them would reject a promise that nobody holds, which ends the process. The schema has two.
    fetch_types: false,
    // The role is part of the connection: a statement that forgets its scope sees no row, even when the login owns the tables or is a superuser.
    connection: { application_name: 'mcp-valet', role: 'valet_app', ...timeouts },
  });
  for (const id of textTypeIds) sql.options.parsers[id] = keep;
  // drizzle hands over serialised JSON.
  for (const id of [...textTypeIds, 114, 3802]) sql.options.serializers[id] = keep;
  const { parsers, serializers } = sql.options;
  parsers[textArray] = (text: string) => arrayItems(text);
  parsers[integerArray] = (text: string) => arrayItems(text).map((item) => (item === null ? null : Number(item)));
  for (const id of [textArray, integerArray]) serializers[id] = (value: unknown) => arrayText(value);
  const prepared = new Set<string>();
  const mayPrepare = (text: string) =>
    prepared.has(text) || (prepared.size < maxPreparedTexts && prepared.add(text).size > 0);

  const statement = (on: Sql | TransactionSql, text: string, params: readonly unknown[]) =>
    on.unsafe(text, params as never[], { prepare: mayPrepare(text) });

  /** The part of postgres.js that drizzle uses, with a deadline on each statement. `lost` ends the transaction around it. */
  function clientFor(on: TransactionSql, stillThere: () => void, lost: (error: DatabaseUnavailable) => void): unknown {
    return {
      options: sql.options,
      unsafe: (text: string, params: readonly unknown[]) => {
        stillThere();
        const query = statement(on, text, params);
        return {
          // biome-ignore lint/suspicious/noThenProperty: drizzle awaits the query itself or its values(), as with postgres.js
          then: (ok: never, no: never) => raced(query, lost).then(ok, no),
          values: () => raced(query.values() as never, lost),
        };
      },
      savepoint: (fn: (inner: unknown) => Promise<unknown>) =>
        on.savepoint((inner) => fn(clientFor(inner, stillThere, lost))),
    };
  }

  async function transaction<T>(scope: Scope, fn: (tx: Db) => Promise<T>): Promise<T> {
    assertScope(scope);
    const watch = watchdog();
    const work = begin(sql, async (on, stillThere) => {
      // Too late: the caller has its answer, nothing may happen any more.
      if (watch.isLost) throw new DatabaseUnavailable('DEADLINE');
      watch.stop();
      // Not awaited: it travels with the first statement. If it fails, the transaction is aborted and every later statement with it.
      void statement(on, enterScope, [scope.account, scope.user]).execute();
      const session = new PostgresJsSession(
        clientFor(on, stillThere, watch.lose) as never,
        drizzleParts.dialect,
        drizzleParts.schema,
        {},
      );
      const tx = new PostgresJsTransaction(drizzleParts.dialect, session as never, drizzleParts.schema);
      try {
        return await fn(tx as unknown as Db);
      } finally {
        watch.start();
      }
    });
    try {
      return (await Promise.race([work, watch.lost])) as T;
    } catch (error) {
      throw asDatabaseError(error);
    } finally {
      watch.end();
      work.catch(() => undefined);
    }
  }

  async function single(work: (register: (query: Query) => Query) => Promise<unknown>): Promise<Row[]> {
    const watch = watchdog();
    const queries: Query[] = [];
    const running = work((query) => {
      queries.push(query);
      return query;
    });
    running.catch(() => undefined);
    try {
      return (await Promise.race([running, watch.lost])) as Row[];
    } catch (error) {
      if (watch.isLost) for (const query of queries) cancel(query);
      throw asDatabaseError(error);
    } finally {
      watch.end();
    }
  }

  return {
    url,
    call: (text, params) => single((register) => register(statement(sql, text, params))),
    read: (scope, text, params) => {
      assertScope(scope);
      return single((register) =>
        begin(sql, (on) =>
          Promise.all([
            register(statement(on, enterScope, [scope.account, scope.user])),
            register(statement(on, text, params)),
          ]),
        ).then((results) => results[1]),
      );
    },
    transaction,
    asOwner: (fn) => ownerSession(url, migrateUrl, fn),
    ping: async (timeoutMs) => {
      const query = statement(sql, 'select 1', []);
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<boolean>((resolve) => {
        timer = setTimeout(() => {
          cancel(query);
          resolve(false);
        }, timeoutMs);
      });
      return Promise.race([
        query.then(
          () => true,
          () => false,
        ),
        late,
      ]).finally(() => clearTimeout(timer));
    },
    close: () => sql.end({ timeout: 2 }),
  };
}

async function ownerSession<T>(
  url: string,
  migrateUrl: string | undefined,
  fn: (owner: OwnerSession) => Promise<T>,
): Promise<T> {
  const sql = postgres(migrateUrl ?? url, {
    ...connectionOptions,
    max: 1,
    connection: { application_name: 'mcp-valet migrate', lock_timeout: 2_000 },
  });
  const serving = migrateUrl === undefined ? undefined : decodeURIComponent(new URL(url).username) || undefined;
  try {
    return await fn({
      servingLogin: serving,
      transaction: (work) =>
        sql.begin((on) =>
          work(async (script) => {
            const results = await on.unsafe(script).simple();
            // Several statements answer a list of results; the rows of the last one count.
            const last = Array.isArray(results.at(0))
              ? (results.at(-1) as unknown as Row[])
              : (results as unknown as Row[]);
            return [...last];
          }),
        ) as Promise<never>,
    });
  } catch (error) {
    throw asDatabaseError(error);
  } finally {
    await sql.end({ timeout: 2 });
  }
}

const [textArray, integerArray] = [1009, 1007];
const arrayItem = /"((?:[^"\\]|\\.)*)"|([^,{}]+)/gs;

/** An array of one dimension, as the server writes it. */
function arrayItems(text: string): (string | null)[] {
  return [...text.matchAll(arrayItem)].map(([, quoted, plain = '']) =>
    quoted === undefined ? (plain === 'NULL' ? null : plain) : quoted.replace(/\\(.)/gs, '$1'),
  );
}

/** drizzle hands over text already. */
function arrayText(value: unknown): unknown {
  if (!Array.isArray(value)) return value;
  return `{${value.map((item) => (item === null ? 'NULL' : `"${String(item).replace(/["\\]/g, '\\$&')}"`)).join(',')}}`;
}

function keep<T>(value: T): T {
  return value;
}

/** Best effort: takes it out of the queue, or asks the server to stop. The caller has its error already. */
function cancel(query: Query): void {
  // The declared type is void; at run time it is a promise that rejects when the server cannot be reached either.
  Promise.resolve(query.cancel() as unknown).catch(() => undefined);
}

async function raced<T>(query: Query, lost: (error: DatabaseUnavailable) => void): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new DatabaseUnavailable('DEADLINE');
      cancel(query);
      lost(error);
      reject(error);
    }, deadlineMs);
  });
  try {
    return (await Promise.race([query, deadline])) as T;
  } finally {
    clearTimeout(timer);
  }
}

/** Runs while the database is waited for (queue, begin, commit) and stands still while our own code runs between statements. */
function watchdog() {
  let timer: NodeJS.Timeout | undefined;
  let reject: (error: Error) => void = () => undefined;
  const lost = new Promise<never>((_, no) => {
    reject = no;
  });
  lost.catch(() => undefined);
  const watch = {
    lost,
    isLost: false,
    isOver: false,
    lose: (error: DatabaseUnavailable) => {
      watch.isLost = true;
      reject(error);
    },
    start: () => {
      clearTimeout(timer);
      if (watch.isOver) return;
      timer = setTimeout(() => watch.lose(new DatabaseUnavailable('DEADLINE')), deadlineMs);
    },
    stop: () => clearTimeout(timer),
    /** The caller has its answer: a rollback that still waits needs no timer. */
    end: () => {
      watch.isOver = true;
      clearTimeout(timer);
    },
  };
  watch.start();
  return watch;
}
