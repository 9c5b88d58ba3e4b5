// Opens the one database of a gateway, PostgreSQL or embedded, behind one type. Nothing here reads configuration or runs migrations.
// The drizzle handle is reachable through `db/scope` only: whoever holds a Database holds no way around the scope.
import { sql } from 'drizzle-orm';
import { withBreaker } from './breaker.ts';
import { type ChangeLink, type ChangeListener, localChanges, postgresChanges } from './changes.ts';
import type { Db, Driver } from './driver.ts';
import { measured, type OnWork } from './measure.ts';
import { openPglite, type PgliteTarget, parsePgliteUrl } from './pglite.ts';
import { placeOf } from './place.ts';
import { openPostgres } from './postgres.ts';

export interface Changes {
  /** Inside a scoped transaction: tells every process of `topic` once the transaction has committed, and none if it rolls back. Rare events only. */
  publish(tx: Db, topic: string): Promise<void>;
  /** Called with each topic, or with `*` when anything may have changed. Returns the way to stop. */
  subscribe(listener: ChangeListener): () => void;
  /** False: a change may have gone unheard for more than 5 s, so caches must be bypassed. */
  isFresh(): boolean;
}

export interface Database {
  readonly kind: 'postgres' | 'pglite';
  /** What is committed survives the end of the process. */
  readonly isDurable: boolean;
  /** Tells this database from a copy of it, as far as the engine cannot. */
  readonly place: string;
  readonly changes: Changes;
  /** False while the breaker is open: whatever is asked fails at once. Costs nothing to ask. */
  isReachable(): boolean;
  /** Whether the database answers within `timeoutMs`. Never throws. */
  ping(timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}

export interface Internals {
  readonly driver: Driver;
  readonly link: ChangeLink;
  /** Topics of transactions that are still open, to be emitted after their commit. */
  readonly pending: WeakMap<Db, string[]>;
}

const internals = new WeakMap<Database, Internals>();

/** For db/ only. */
export function internalsOf(db: Database): Internals {
  const found = internals.get(db);
  if (!found) throw new TypeError('Not a database that openDatabase made.');
  return found;
}

export async function openDatabase(options: {
  /** `postgres://…`, `pglite:<dir>` or `pglite:memory`. */
  url: string;
  /** The login that owns the schema, where requests are served by another one. PostgreSQL only. */
  migrateUrl?: string | undefined;
  /** Told of each statement or transaction, how long it took and how it failed. */
  onWork?: OnWork | undefined;
}): Promise<Database> {
  const isPostgres = /^postgres(ql)?:\/\//.test(options.url);
  const target = isPostgres ? undefined : parsePgliteUrl(options.url);
  const breaker = isPostgres ? withBreaker(() => openPostgres(options.url, options.migrateUrl)) : undefined;
  const engine = breaker ?? (await openPglite(target as PgliteTarget));
  const driver = options.onWork === undefined ? engine : measured(engine, options.onWork);
  const link = isPostgres ? postgresChanges(options.url) : localChanges();
  const pending = new WeakMap<Db, string[]>();
  const db: Database = {
    kind: isPostgres ? 'postgres' : 'pglite',
    isDurable: isPostgres || target?.dir !== undefined,
    place: placeOf(target),
    changes: {
      publish: async (tx, topic) => {
        const topics = pending.get(tx);
        if (!topics)
          throw new TypeError('A change is published with the transaction that withScope gave, before it ends.');
        const notification = link.notification(topic);
        if (notification) await tx.execute(sql`select pg_notify(${notification.channel}, ${notification.payload})`);
        topics.push(topic);
      },
      subscribe: link.subscribe,
      isFresh: link.isFresh,
    },
    isReachable: () => breaker?.isReachable() ?? true,
    ping: driver.ping,
    close: async () => {
      await link.close();
      await driver.close();
    },
  };
  internals.set(db, { driver, link, pending });
  return db;
}
