// What a handler or verb is given besides its input: the scoped database, the caller, and the gateway's parts as ports. No Fastify here.
import type { RouteDefinition, RouteInput, RouteReply } from '@mcp-valet/shared';
import type { Logger } from 'pino';
import type { KeyUse } from './api-keys/use.ts';
import type { Trail } from './audit/record.ts';
import type { Epoch } from './calls/epoch.ts';
import type { Journal } from './calls/journal.ts';
import type { Config } from './config.ts';
import type { Egress } from './connectors/egress.ts';
import type { StdioCatalog } from './connectors/stdio-catalog.ts';
import type { ConnectorViews, Upstreams } from './connectors/upstreams.ts';
import type { GrantEnder, Refresher } from './credentials/oauth/ports.ts';
import type { Vault } from './credentials/vault.ts';
import type { Keyring } from './crypto/keyring.ts';
import type { Database } from './db/client.ts';
import type { Db } from './db/scope.ts';
import type { Topic } from './identity/cache.ts';
import type { Directory } from './identity/directory.ts';
import type { UserTokens } from './identity/identify.ts';
import type { Principal } from './identity/principal.ts';
import type { LiveUse } from './live-use.ts';
import type { Metrics } from './metrics/port.ts';
import type { Limits } from './rate-limits/take.ts';
import type { Replicas } from './replicas.ts';
import type { Tracing } from './tracing/port.ts';

/** The parts that live as long as the process. Made once in `app.ts`, handed down, never imported as singletons. */
export interface Parts {
  config: Config;
  db: Database;
  keyring: Keyring;
  vault: Vault;
  egress: Egress;
  directory: Directory;
  /** Tokens of identity providers and of the account's own sessions. */
  userTokens: UserTokens;
  keyUse: KeyUse;
  /** Requests to upstreams, and what is kept of them: for the call plane. */
  carriers: Upstreams;
  /** Upstreams as management shows them. */
  upstreams: ConnectorViews;
  /** Keeps OAuth tokens good: used by calls and lists before they open a credential. */
  refresher: Refresher;
  /** Whatever is open for somebody, and its end. */
  live: LiveUse;
  /** Ends OAuth grants at their providers. */
  grants: GrantEnder;
  /** Commands that `mcp-stdio` connectors may name. */
  stdioCatalog: StdioCatalog;
  journal: Journal;
  epoch: Epoch;
  trail: Trail;
  limits: Limits;
  replicas: Pick<Replicas, 'live'>;
  /** Told of what happens; counts only where somebody may read it. */
  metrics: Metrics;
  tracing: Tracing;
  log: Logger;
  version: string;
  startedAt: number;
}

/** What the audit event of a management change adds to what the binder already knows (actor, action, request). */
export interface AuditNote {
  target?: string;
  userId?: string;
  details?: Record<string, unknown>;
}

export interface Ctx {
  parts: Parts;
  principal: Principal;
  requestId: string;
  /** The request's transaction, scoped to the account and to the users that the caller manages. */
  db: Db;
  /** Runs `fn` in a scoped transaction of its own: for routes declared `db: 'plain'`, which get no transaction around them. */
  scoped<T>(fn: (tx: Db) => Promise<T>): Promise<T>;
  /** `x-alloy-userid` as sent (grammar-checked), where a management route gives it a meaning. */
  namedUser: string | undefined;
  /** Every matching row is asked for, page by page: how many there are need not be counted. */
  isExport: boolean;
  /** Completes the audit event that the route declares. */
  note(note: AuditNote): void;
  /** Tells every replica after commit that what it cached under this topic is stale: see `identity/cache`. */
  changed(topic: Topic): void;
  /**
   * For routes declared `db: 'plain'` that change something: writes the event now, in the transaction of the change, and tells what changed with
   * its commit. Answers the event's id. Without it, the event is written after the handler. `action`: where it is not the route's own.
   */
  record(tx: Db, action?: `${string}.${string}`): Promise<string>;
}

export type { Topic } from './identity/cache.ts';

/** A handler of the management plane: knows neither HTTP nor Fastify, does no network I/O unless its route says `db: 'plain'`. */
export interface Handler<R extends RouteDefinition> {
  (input: RouteInput<R>, ctx: Ctx): Promise<RouteReply<R>>;
  /** What takes its time and needs no database (fetching, compiling): runs before the transaction. What it throws is the answer. */
  prepare?: (input: RouteInput<R>, ctx: Pick<Ctx, 'parts' | 'principal'>) => Promise<void>;
}
