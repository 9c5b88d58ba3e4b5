// The gateway about itself: liveness, readiness, status, who am I, its own description. What strangers may ask shows no internals.
import type { Contract } from '@mcp-valet/shared';
import { findAccount } from '../accounts/store.ts';
import { listConnectors } from '../connectors/store.ts';
import type { Handler, Parts } from '../context.ts';
import { openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { findOwnUser } from '../users/store.ts';
import type { PublicHandler } from './bind-contract.ts';

type Routes = Contract['system'];

export interface SystemOptions {
  /** The OpenAPI document, as it is sent. */
  openapi: () => Buffer;
  /** True from the moment a shutdown begins: balancers look elsewhere while running requests end. */
  isClosing: () => boolean;
}

const readyWithinMs = 1_000;
/** As many connectors as the status shows. */
const shownUpstreams = 1_000;

export function systemHandlers(options: SystemOptions) {
  const health: PublicHandler<Routes['health']> = async () => ({ status: 'ok' });
  const healthz: PublicHandler<Routes['healthz']> = async () => ({ status: 'ok' });

  const readyz: PublicHandler<Routes['readyz']> = async (parts) => {
    if (options.isClosing())
      throw new Refusal('UNAVAILABLE', 'The gateway is shutting down', { retryAfterMs: 1000, reason: 'closing' });
    if (parts.keyring.wrapping.isLost)
      throw new Refusal('UNAVAILABLE', 'The gateway cannot serve now', { retryAfterMs: 5000, reason: 'master_key' });
    if (await parts.db.ping(readyWithinMs)) return { status: 'ready' };
    throw new Refusal('UNAVAILABLE', 'The gateway cannot serve now', { retryAfterMs: 1000, reason: 'database_silent' });
  };

  const openapi: PublicHandler<Routes['openapi']> = async () => options.openapi();
  return { health, healthz, readyz, status, me, openapi };
}

const status: Handler<Routes['status']> = async (_input, ctx) => {
  const { parts, principal } = ctx;
  const page = { ...openPage('status', ['text'], {}), limit: shownUpstreams };
  const { rows } = await ctx.scoped((tx) => listConnectors(tx, principal.accountId, page));
  const upstreams = await Promise.all(
    rows.slice(0, shownUpstreams).map(async (row) => {
      const state = await parts.upstreams.state(row.accountId, row.id, null);
      return {
        connector_id: row.id,
        state: row.enabled ? state.status : 'disabled',
        tools_age_ms: state.toolsAge,
        ...(state.lastError !== undefined && { last_error: state.lastError }),
      };
    }),
  );
  return {
    version: parts.version,
    uptime_seconds: Math.floor((Date.now() - parts.startedAt) / 1000),
    database: { kind: parts.db.kind, ok: await parts.db.ping(readyWithinMs) },
    upstreams,
    limits: limitsOf(parts),
  };
};

/** In the words of the wire: the route speaks the seed system's dialect. */
function limitsOf({ config }: Parts): Record<string, number> {
  const { limits } = config;
  return {
    calls_per_minute: limits.callsPerMinute,
    lists_per_minute: limits.listsPerMinute,
    management_per_minute: limits.managementPerMinute,
    calls_in_flight: limits.concurrentCalls,
    call_timeout_ms: limits.callTimeoutMs,
    body_bytes: limits.bodyBytes,
    result_bytes: limits.resultBytes,
  };
}

const me: Handler<Routes['me']> = async (_input, ctx) => {
  const { parts, principal } = ctx;
  const account = await findAccount(ctx.db, principal.accountId);
  if (account === undefined) throw new Error('a signed-in key has no account');
  // A key that is kept to other users than `default` speaks for nobody until it names one.
  const user = await findOwnUser(ctx.db, principal);
  const left = async (userId: string, policy: 'user' | 'user-lists') => {
    const { limit, windowSeconds, remaining } = await parts.limits.peek(policy, account, userId);
    return { limit, windowSeconds, remaining };
  };
  return {
    keyId: principal.keyId,
    kind: principal.kind,
    account: { accountId: account.id, name: account.name },
    effectiveUser: user === undefined ? null : { userId: user.id, username: user.username },
    mayActForUsers: principal.mayActForUsers,
    scopes: principal.proof?.scopes.slice() ?? principal.scopes?.slice() ?? null,
    expiresAt: principal.expiresAt?.toISOString() ?? null,
    limits:
      user === undefined ? null : { calls: await left(user.id, 'user'), lists: await left(user.id, 'user-lists') },
  };
};
