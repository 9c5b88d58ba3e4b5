// The port between the two engines and the rest of db/: one drizzle type, one transaction shape. Not for use outside db/.
// Every transaction a driver opens starts by naming its scope; there is no way to a transaction without one, except for migrations.
import { createTableRelationsHelpers, extractTablesRelationalConfig } from 'drizzle-orm';
import { type PgDatabase, PgDialect, type PgQueryResultHKT } from 'drizzle-orm/pg-core';
import * as schema from './schema.ts';

/** The one handle that stores see: a drizzle transaction, whichever engine is below. */
export type Db = PgDatabase<PgQueryResultHKT, typeof schema>;

export type Row = Record<string, unknown>;

export interface Scope {
  /** An account id; `*` only for the list of accounts, the keyring and the sweeper. */
  readonly account: string;
  /** A user id; `*` for account management. */
  readonly user: string;
}

export interface Driver {
  /** One statement in its own transaction. Only for SQL functions that set their scope themselves. */
  call(text: string, params: readonly unknown[]): Promise<Row[]>;
  /** One statement under a scope, in as few round trips as the engine allows. */
  read(scope: Scope, text: string, params: readonly unknown[]): Promise<Row[]>;
  transaction<T>(scope: Scope, fn: (tx: Db) => Promise<T>): Promise<T>;
  /** A session of the schema's owner, without the request role. For migrations only. */
  asOwner<T>(fn: (owner: OwnerSession) => Promise<T>): Promise<T>;
  ping(timeoutMs: number): Promise<boolean>;
  close(): Promise<void>;
}

export interface OwnerSession {
  /** The login that serves requests, when it is not the owner itself. */
  readonly servingLogin: string | undefined;
  transaction<T>(fn: (run: (script: string) => Promise<Row[]>) => Promise<T>): Promise<T>;
}

/** The first statement of every scoped transaction. Transaction-local: a pooled connection is clean at commit and at rollback. */
export const enterScope =
  "select set_config('role', 'valet_app', true), set_config('valet.account_id', $1, true), set_config('valet.user_id', $2, true)";

export function assertScope(scope: Scope): void {
  // After a transaction the setting reads '' and not NULL; an empty scope would look like none at all.
  if (!scope.account || !scope.user)
    throw new TypeError('A scope names an account and a user; "*" is said, never implied.');
}

const relational = extractTablesRelationalConfig(schema, createTableRelationsHelpers);

/** What drizzle needs to build a session, made once: deriving it per transaction would cost more than the transaction. */
export const drizzleParts = {
  dialect: new PgDialect(),
  schema: {
    fullSchema: schema as Record<string, unknown>,
    schema: relational.tables,
    tableNamesMap: relational.tableNamesMap,
  },
};

/** Date and time types stay text on both engines: drizzle parses them itself, raw rows are equal everywhere. */
export const textTypeIds = [1082, 1083, 1114, 1182, 1184, 1185, 1115, 1187, 1231];
