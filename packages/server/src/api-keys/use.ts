// When keys were last used, to the minute. Collected in memory and written once a minute, so that a busy key costs no write per request.
// Must not be relied on for security: what a crash loses is at most a minute of "last used".
import { and, eq, inArray, sql } from 'drizzle-orm';
import type { Logger } from 'pino';
import type { Database } from '../db/client.ts';
import { apiKeys } from '../db/schema.ts';
import { accountScope, type Db, withScope } from '../db/scope.ts';

export interface KeyUse {
  note(key: { accountId: string; keyId: string }): void;
  /** Writes what has collected. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

const flushMs = 60_000;
/** More keys than this in one minute: the others are noted in a later one. */
const maxKeys = 50_000;

export function createKeyUse({ db, log }: { db: Database; log: Logger }): KeyUse {
  let used = new Map<string, Set<string>>();
  let size = 0;

  const flush = async (): Promise<void> => {
    const accounts = used;
    used = new Map();
    size = 0;
    for (const [accountId, ids] of accounts) {
      try {
        await withScope(db, accountScope(accountId), (tx) => touchApiKeys(tx, accountId, [...ids]));
      } catch (error) {
        log.warn({ error: error instanceof Error ? error.name : typeof error }, 'the use of keys was not noted');
      }
    }
  };
  const timer = setInterval(() => void flush(), flushMs).unref();

  return {
    note({ accountId, keyId }) {
      const ids = used.get(accountId) ?? new Set<string>();
      if (ids.has(keyId) || size >= maxKeys) return;
      used.set(accountId, ids.add(keyId));
      size++;
    },
    flush,
    async close() {
      clearInterval(timer);
      await flush();
    },
  };
}

/** Notes that these keys are in use now. */
async function touchApiKeys(tx: Db, accountId: string, ids: readonly string[]): Promise<void> {
  await tx
    .update(apiKeys)
    .set({ lastUsedAt: sql`now()` })
    .where(and(eq(apiKeys.accountId, accountId), inArray(apiKeys.id, [...ids])));
}
