// The audit trail's one door: events of administration in the transaction of what they tell about, refusals after its rollback.
//
// Guarantee: a committed change has its event and an event has its change, because both stand in one transaction. Refusals are written in a
// transaction of their own, and a caller who is refused all the time is counted, not written down each time: more than 60 a minute from one
// source become one row per 10 seconds with the exact number. Failure: a refusal that cannot be recorded stays a refusal and is logged.
import ipaddr from 'ipaddr.js';
import type { Logger } from 'pino';
import type { Database } from '../db/client.ts';
import { auditEvents } from '../db/schema-trail.ts';
import { type Db, withScope } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { redactDetails, redactText } from './redact.ts';

/** Where events go that belong to no account: nobody is known before sign-in. */
export const systemAccount = '_system';

export interface AuditActor {
  keyId: string;
  kind: string;
  userId: string | null;
}

export interface AuditEntry {
  accountId: string;
  /** Null before sign-in and for the gateway itself. */
  actor: AuditActor | null;
  action: string;
  outcome: 'ok' | 'refused' | 'failed';
  /** The affected or effective user. */
  userId?: string | undefined;
  /** The user as the caller named it, where it was refused. */
  attemptedUser?: string | undefined;
  target?: string | undefined;
  reason?: string | undefined;
  requestId?: string | undefined;
  address?: string | undefined;
  details?: Readonly<Record<string, unknown>> | undefined;
}

/** Adds the event to the transaction; it stands or falls with it. Answers its id. */
export async function recordEvent(tx: Db, entry: AuditEntry): Promise<string> {
  const id = newId('aud');
  const short = (text: string | undefined, maxLength = 256) =>
    text === undefined ? null : redactText(text, maxLength);
  await tx.insert(auditEvents).values({
    id,
    accountId: entry.accountId,
    actorKeyId: entry.actor?.keyId ?? null,
    actorKind: entry.actor?.kind ?? null,
    actorUserId: entry.actor?.userId ?? null,
    action: entry.action,
    userId: short(entry.userId),
    attemptedUser: short(entry.attemptedUser, 128),
    target: short(entry.target),
    outcome: entry.outcome,
    reason: short(entry.reason, 128),
    requestId: short(entry.requestId, 64),
    address: short(entry.address, 64),
    details: redactDetails(entry.details ?? {}),
  });
  return id;
}

export interface Trail {
  /** Records what was refused or failed after sign-in. Call it after the rollback. Never throws. */
  refused(entry: AuditEntry): Promise<void>;
  /** Records a refused sign-in: under `_system`, or of a key that is known (revoked, expired, of a disabled user) in its account. Never throws. */
  signInFailed(attempt: {
    address: string;
    requestId: string;
    reason: string;
    by?: { accountId: string; keyId: string; kind: string } | undefined;
    /** Who it was, as an issuer said. */
    details?: Readonly<Record<string, unknown>> | undefined;
  }): Promise<void>;
  /** Writes the counts that are still open. */
  close(): Promise<void>;
}

const perMinute = 60;
const minuteMs = 60_000;
const flushMs = 10_000;
/** More sources than this at a time are counted as one: a flood from many addresses must not fill the memory. */
const maxSources = 50_000;

interface Source {
  windowStart: number;
  written: number;
  /** Refusals since the last counting row, and the last of them as a specimen. */
  counted: number;
  last: AuditEntry;
}

export function createTrail(options: { db: Database; log: Logger; now: () => number }): Trail {
  const { db, log, now } = options;
  const sources = new Map<string, Source>();
  const writing = new Set<Promise<void>>();

  const write = (entry: AuditEntry): Promise<void> => {
    const done = withScope(db, { account: entry.accountId, user: '*' }, async (tx) => {
      await recordEvent(tx, entry);
    }).catch((error: unknown) => {
      const name = error instanceof Error ? error.name : typeof error;
      log.error(
        { requestId: entry.requestId, action: entry.action, outcome: entry.outcome, error: name },
        'an audit event was lost',
      );
    });
    writing.add(done);
    void done.finally(() => writing.delete(done));
    return done;
  };

  const admit = (wanted: string, entry: AuditEntry): boolean => {
    const key = sources.has(wanted) || sources.size < maxSources ? wanted : `${entry.accountId} *`;
    const at = now();
    const source = sources.get(key);
    if (source === undefined) {
      sources.set(key, { windowStart: at, written: 1, counted: 0, last: entry });
      return true;
    }
    if (at - source.windowStart >= minuteMs) Object.assign(source, { windowStart: at, written: 0 });
    source.last = entry;
    if (source.written < perMinute) {
      source.written++;
      return true;
    }
    source.counted++;
    return false;
  };

  const flush = (): void => {
    const at = now();
    for (const [key, source] of sources) {
      if (source.counted > 0) {
        const { requestId: _, attemptedUser: __, ...last } = source.last;
        void write({ ...last, details: { ...last.details, collapsed: source.counted } });
        source.counted = 0;
      } else if (at - source.windowStart >= minuteMs) {
        sources.delete(key);
      }
    }
  };
  const timer = setInterval(flush, flushMs).unref();

  return {
    async refused(entry) {
      if (admit(`${entry.accountId} ${entry.actor?.keyId ?? '-'} ${sourceOf(entry.address)}`, entry))
        await write(entry);
    },
    async signInFailed({ address, requestId, reason, by, details }) {
      const entry: AuditEntry = {
        accountId: by?.accountId ?? systemAccount,
        actor: by === undefined ? null : { keyId: by.keyId, kind: by.kind, userId: null },
        action: 'auth.sign_in',
        outcome: 'refused',
        reason,
        requestId,
        address,
        details,
      };
      if (admit(`${entry.accountId} ${by?.keyId ?? '-'} ${sourceOf(address)}`, entry)) await write(entry);
    },
    async close() {
      clearInterval(timer);
      flush();
      await Promise.all(writing);
    },
  };
}

/** The address, or for IPv6 its /64: one household holds 2^64 addresses. */
export function sourceOf(address: string | undefined): string {
  if (address === undefined || !ipaddr.isValid(address)) return '-';
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  return `${(parsed as ipaddr.IPv6).parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}
