// The statements that every call runs, as SQL functions: one round trip each, scope set inside (migrations 0002, 0007, 0009 and 0012).
// Only encodes and decodes; grouping, retries and what the states mean belong to `calls/` and `identity/`.
import { type Database, internalsOf } from './client.ts';
import type { Delegation, KeyKind } from './schema.ts';

export interface FoundPrincipal {
  keyId: string;
  kind: KeyKind;
  accountId: string;
  keyName: string;
  /** The key's own user. */
  user: { id: string; username: string; enabled: boolean } | undefined;
  /** On url keys: the one server it opens, and who owns it. */
  server:
    | { id: string; actsForUsers: boolean; owner: { id: string; username: string; enabled: boolean } | undefined }
    | undefined;
  /** By the database clock, negative when over; undefined: never expires. */
  remainingMs: number | undefined;
  revoked: boolean;
  /** False: nobody of the account signs in. */
  accountEnabled: boolean;
  /** Null: not narrowed. */
  scopes: readonly string[] | null;
  /** Ids of the users whom it may name; null: all that its kind may. */
  allowedUsers: readonly string[] | null;
  /** Of a delegated token. */
  delegation: Delegation | null;
}

/** The key with this hash, revoked and expired ones included (the caller tells them apart for the audit trail, never for the answer). */
export async function findPrincipal(db: Database, hash: Uint8Array): Promise<FoundPrincipal | undefined> {
  const [row] = await internalsOf(db).driver.call('select * from valet_find_principal($1)', [hash]);
  return row && principalOfRow(row);
}

export function principalOfRow(row: Readonly<Record<string, unknown>>): FoundPrincipal {
  const person = (id: unknown, username: unknown, enabled: unknown) =>
    typeof id === 'string' && typeof username === 'string' ? { id, username, enabled: enabled === true } : undefined;
  return {
    keyId: row.key_id as string,
    kind: row.kind as FoundPrincipal['kind'],
    accountId: row.account_id as string,
    keyName: row.key_name as string,
    user: person(row.user_id, row.username, row.user_enabled),
    server:
      typeof row.server_id === 'string'
        ? {
            id: row.server_id,
            actsForUsers: row.acts_for_users === true,
            owner: person(row.owner_user_id, row.owner_username, row.owner_enabled),
          }
        : undefined,
    remainingMs: row.remaining_ms === null ? undefined : Number(row.remaining_ms),
    revoked: row.revoked === true,
    accountEnabled: row.account_enabled === true,
    scopes: (row.scopes as string[] | null) ?? null,
    allowedUsers: (row.allowed_users as string[] | null) ?? null,
    delegation: (row.delegation as Delegation | null) ?? null,
  };
}

export type CallOutcomeKind = 'ok' | 'tool_error' | 'refused' | 'failed' | 'unknown';

export interface CallOutcome {
  outcome: CallOutcomeKind;
  reason?: string | undefined;
  upstreamStatus?: number | undefined;
  latencyMs?: number | undefined;
  outcomeDigest?: Uint8Array | undefined;
}

/** Account, user and scope of an idempotency key. `user` is the effective user's id, `scope` the server id. */
export interface ClaimPlace {
  user: string;
  scope: string;
  key: string;
}

export interface CallIntent {
  id: string;
  accountId: string;
  userId?: string | undefined;
  actorKeyId?: string | undefined;
  actorKind?: string | undefined;
  attemptedUser?: string | undefined;
  serverId?: string | undefined;
  connectorId?: string | undefined;
  tool: string;
  credentialId?: string | undefined;
  argsDigest?: Uint8Array | undefined;
  lane: string;
  requestId: string;
  address?: string | undefined;
  /** How long the call may stay open before the sweeper closes it as unknown: its deadline and 10 s. */
  leaseMs: number;
  claim?: (ClaimPlace & { fingerprint: Uint8Array; ttlMs?: number | undefined }) | undefined;
  /** Given: the row is written complete (meta tools that only read, refusals). */
  completed?: CallOutcome | undefined;
}

/** Why a keyed call did not begin. `done` without an answer: it was too large to keep. */
export interface StandingClaim {
  state: 'running' | 'done' | 'unknown' | 'mismatch';
  status: number | undefined;
  answer: Uint8Array | undefined;
  /** The call that holds the claim; undefined when it was released meanwhile. */
  callId: string | undefined;
}

const dayMs = 86_400_000;

/** Commits the intents and their claims in one statement. In the answer: the calls that must not run. All others have begun. */
export async function beginCalls(db: Database, intents: readonly CallIntent[]): Promise<Map<string, StandingClaim>> {
  const batch = groupByAccount(intents, (intent) => ({
    keyed: intent.claim !== undefined,
    row: {
      id: intent.id,
      user_id: intent.userId,
      actor_key_id: intent.actorKeyId,
      actor_kind: intent.actorKind,
      attempted_user: intent.attemptedUser,
      server_id: intent.serverId,
      connector_id: intent.connectorId,
      tool: intent.tool,
      credential_id: intent.credentialId,
      args_digest: hex(intent.argsDigest),
      lane: intent.lane,
      request_id: intent.requestId,
      address: intent.address,
      lease_ms: Math.round(intent.leaseMs),
      ...(intent.claim && {
        claim_user: intent.claim.user,
        claim_scope: intent.claim.scope,
        key: intent.claim.key,
        fingerprint: hex(intent.claim.fingerprint),
        claim_ttl_ms: intent.claim.ttlMs ?? dayMs,
      }),
      ...(intent.completed && outcomeColumns(intent.completed)),
    },
  }));
  const rows = await internalsOf(db).driver.call('select * from valet_begin_calls($1)', [batch]);
  return new Map(
    rows.map((row) => [
      row.call_id as string,
      {
        state: row.state as StandingClaim['state'],
        status: (row.status as number | null) ?? undefined,
        answer: (row.answer as Uint8Array | null) ?? undefined,
        callId: (row.first_call_id as string | null) ?? undefined,
      },
    ]),
  );
}

export interface CallEnd extends CallOutcome {
  id: string;
  accountId: string;
  /** `done` keeps the sealed answer for replays (or none, when it was too large), `unknown` bars every retry, `released` lets a retry run. */
  claim?:
    | (ClaimPlace & {
        state: 'done' | 'unknown' | 'released';
        status?: number | undefined;
        answer?: Uint8Array | undefined;
      })
    | undefined;
}

/** Commits outcomes and ends their claims in one statement. Answers the ids that had an outcome already: these came too late. */
export async function endCalls(db: Database, ends: readonly CallEnd[]): Promise<string[]> {
  const batch = groupByAccount(ends, (end) => ({
    keyed: end.claim !== undefined,
    row: {
      id: end.id,
      ...outcomeColumns(end),
      ...(end.claim && {
        claim: end.claim.state,
        claim_user: end.claim.user,
        claim_scope: end.claim.scope,
        key: end.claim.key,
        status: end.claim.status,
        answer: end.claim.answer && Buffer.from(end.claim.answer).toString('base64'),
      }),
    },
  }));
  const rows = await internalsOf(db).driver.call('select late_call_id from valet_end_calls($1)', [batch]);
  return rows.map((row) => row.late_call_id as string);
}

/** Closes calls whose lease ended more than `graceMs` ago as `unknown`, and drops claims past their time. Any replica may run it, at any time. */
export async function sweepCalls(
  db: Database,
  graceMs: number,
  most: number,
): Promise<{ callId: string; accountId: string }[]> {
  const rows = await internalsOf(db).driver.call('select call_id, account from valet_sweep_calls($1, $2)', [
    graceMs,
    most,
  ]);
  return rows.map((row) => ({ callId: row.call_id as string, accountId: row.account as string }));
}

function groupByAccount<T extends { accountId: string }>(
  items: readonly T[],
  encode: (item: T) => { keyed: boolean; row: object },
): string {
  const groups = new Map<string, { account: string; keyed: boolean; rows: object[] }>();
  for (const item of items) {
    let group = groups.get(item.accountId);
    if (!group) {
      group = { account: item.accountId, keyed: false, rows: [] };
      groups.set(item.accountId, group);
    }
    const { keyed, row } = encode(item);
    group.keyed ||= keyed;
    group.rows.push(row);
  }
  return JSON.stringify([...groups.values()]);
}

function outcomeColumns(outcome: CallOutcome): object {
  return {
    outcome: outcome.outcome,
    reason: outcome.reason,
    upstream_status: outcome.upstreamStatus,
    latency_ms: outcome.latencyMs === undefined ? undefined : Math.round(outcome.latencyMs),
    outcome_digest: hex(outcome.outcomeDigest),
  };
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
