// What happened: the journal of calls, the claims of idempotency keys, the trail of decisions. Rows outlive whatever they tell about, so they
// have no foreign keys; the first two are written by SQL functions of the hand-written migrations.
import { sql } from 'drizzle-orm';
import {
  bigint,
  check,
  customType,
  index,
  integer,
  jsonb,
  pgTable,
  primaryKey,
  smallint,
  text,
} from 'drizzle-orm/pg-core';
import { at, bytea, createdAt } from './schema.ts';

/** A transaction id that never wraps; the sealer orders rows by it. */
const xid8 = customType<{ data: string }>({ dataType: () => 'xid8' });

/** One row per tool call: intent columns are written before bytes leave, outcome columns once, by the journal only. */
export const calls = pgTable(
  'calls',
  {
    seq: bigint('seq', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    xid: xid8('xid').notNull().default(sql`valet_trail_xid(pg_current_xact_id())`),
    format: smallint('format').notNull().default(1),
    id: text('id').primaryKey(),
    /** No foreign key: the journal outlives what it tells about, and its rows refuse DELETE, so a cascade could only fail. */
    accountId: text('account_id').notNull(),
    at: at('at').notNull().defaultNow(),
    leaseUntil: at('lease_until').notNull(),
    userId: text('user_id'),
    actorKeyId: text('actor_key_id'),
    actorKind: text('actor_kind'),
    /** The user text as the caller sent it, when one was named. */
    attemptedUser: text('attempted_user'),
    serverId: text('server_id'),
    connectorId: text('connector_id'),
    tool: text('tool').notNull(),
    credentialId: text('credential_id'),
    argsDigest: bytea('args_digest'),
    lane: text('lane').notNull(),
    requestId: text('request_id').notNull(),
    idempotencyKey: text('idempotency_key'),
    address: text('address'),
    outcome: text('outcome').$type<'ok' | 'tool_error' | 'refused' | 'failed' | 'unknown'>(),
    reason: text('reason'),
    upstreamStatus: integer('upstream_status'),
    latencyMs: integer('latency_ms'),
    outcomeDigest: bytea('outcome_digest'),
    outcomeSeq: bigint('outcome_seq', { mode: 'number' }),
    outcomeXid: xid8('outcome_xid'),
  },
  (t) => [
    index('calls_account_seq').on(t.accountId, t.seq),
    index('calls_account_user').on(t.accountId, t.userId, t.seq),
    index('calls_open').on(t.leaseUntil).where(sql`outcome is null`),
    index('calls_request').on(t.requestId),
    index('calls_xid').on(t.xid),
    index('calls_outcome_xid').on(t.outcomeXid).where(sql`outcome_xid is not null`),
    check('calls_account', sql`account_id <> ''`),
  ],
);

/** Idempotency claims of tool calls and management POSTs. state: running -> done | unknown. The answer is sealed under the user's data key. */
export const claims = pgTable(
  'claims',
  {
    /** No foreign key: a claim lives a day, and a lock on the account's row per keyed call would make all of them wait in one line. */
    accountId: text('account_id').notNull(),
    /** The effective user of a call; '_account' for management requests. */
    userId: text('user_id').notNull(),
    /** The server id of a call, or 'METHOD /route' of a management request. */
    scope: text('scope').notNull(),
    key: text('key').notNull(),
    fingerprint: bytea('fingerprint').notNull(),
    callId: text('call_id'),
    state: text('state').$type<'running' | 'done' | 'unknown'>().notNull(),
    leaseUntil: at('lease_until').notNull(),
    expiresAt: at('expires_at').notNull(),
    status: integer('status'),
    /** Sealed answer; null while running, and when it was too large to keep. */
    answer: bytea('answer'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ columns: [t.accountId, t.userId, t.scope, t.key] }),
    index('claims_expiry').on(t.expiresAt),
    check('claims_account', sql`account_id <> ''`),
  ],
);

/** Append-only trail of decisions and administration. A refusal is written after the rollback of what was refused. */
export const auditEvents = pgTable(
  'audit_events',
  {
    seq: bigint('seq', { mode: 'number' }).notNull().generatedAlwaysAsIdentity(),
    xid: xid8('xid').notNull().default(sql`valet_trail_xid(pg_current_xact_id())`),
    format: smallint('format').notNull().default(1),
    id: text('id').primaryKey(),
    /** '_system' where no account is known (a failed sign-in): therefore no foreign key. */
    accountId: text('account_id').notNull(),
    at: at('at').notNull().defaultNow(),
    actorKeyId: text('actor_key_id'),
    actorKind: text('actor_kind'),
    actorUserId: text('actor_user_id'),
    action: text('action').notNull(),
    /** The effective or affected user. */
    userId: text('user_id'),
    attemptedUser: text('attempted_user'),
    target: text('target'),
    outcome: text('outcome').$type<'ok' | 'refused' | 'failed'>().notNull(),
    reason: text('reason'),
    requestId: text('request_id'),
    address: text('address'),
    details: jsonb('details').$type<Record<string, unknown>>().notNull().default({}),
  },
  (t) => [
    index('audit_account_seq').on(t.accountId, t.seq),
    index('audit_account_user').on(t.accountId, t.userId, t.seq),
    index('audit_account_actor').on(t.accountId, t.actorUserId, t.seq).where(sql`actor_user_id is not null`),
    index('audit_account_key').on(t.accountId, t.actorKeyId, t.seq).where(sql`actor_key_id is not null`),
    index('audit_account_action').on(t.accountId, t.action, t.seq),
    index('audit_request').on(t.requestId).where(sql`request_id is not null`),
    index('audit_xid').on(t.xid),
    check('audit_account', sql`account_id <> ''`),
  ],
);
