// What the call plane knows of one inbound request after the gate: who, where to, in which era. Types, and what is read off them.
import type { CallerSession } from '../connectors/backend.ts';
import type { Identity } from '../connectors/inject.ts';
import type { Parts } from '../context.ts';
import type { EffectiveUser, UserSources } from '../identity/effective-user.ts';
import type { Principal } from '../identity/principal.ts';
import type { ServerRecord } from '../identity/records.ts';
import type { RequestTrace } from '../tracing/port.ts';

export type Era = 'legacy' | 'modern';
export type Lane = 'direct' | 'sdk' | 'rest';

export interface CallRequest {
  parts: Parts;
  principal: Principal;
  /** Null on the aggregate endpoint and the direct tool call, which have no server. */
  server: ServerRecord | null;
  sources: UserSources;
  /** `x-valet-strict-user: true`. */
  strict: boolean;
  /** `x-credential-id`. */
  credentialHeader: string | undefined;
  idempotencyKey: string | undefined;
  requestId: string;
  address: string;
  era: Era;
  lane: Lane;
  /** Single-valued inbound header, lower-case name. */
  header: (name: string) => string | undefined;
  /** Ends when the caller is gone; null where its era says that this does not cancel. */
  signal: AbortSignal | null;
  /** The caller's 2025-era session, if the request came in one. */
  session?: CallerSession | undefined;
  /** Answer headers that the pipeline wants set; the transport writes them. */
  replyHeaders: Record<string, string>;
  /** Absent where nothing is sent. */
  trace?: RequestTrace;
}

/** A request whose effective user is known. */
export interface UserCall extends CallRequest {
  user: EffectiveUser;
}

/** Whom upstreams are opened for: the effective user, and what its verified token says. */
export const onBehalf = ({ user, principal }: UserCall): Identity => ({
  id: user.record.id,
  username: user.record.username,
  claims: principal.proof?.claims ?? null,
});

/** Tools of a server in direct mode, or of every connector on the aggregate endpoint. */
export const isDirect = (request: CallRequest): boolean => request.server === null || request.server.mode === 'direct';
