// Where sessions of the dashboard live. A session names the key that signed in and has an end of its own; it holds no rights.
import { randomBytes } from 'node:crypto';
import { and, eq, lte, sql } from 'drizzle-orm';
import type { Keyring } from '../crypto/keyring.ts';
import { dashboardSessions } from '../db/schema-dashboard.ts';
import type { Db } from '../db/scope.ts';
import { newId } from '../ids.ts';

export const sessionHours = 8;

export interface NewSession {
  id: string;
  /** The cookie's text: 256 random bits. Handed out once, never stored. */
  text: string;
  expiresAt: Date;
}

/** A session ends after eight hours, or with the key where that ends sooner. `admittedBy`: what it rests on where no key was shown. */
export async function createSession(
  tx: Db,
  keyring: Keyring,
  key: { accountId: string; keyId: string },
  admittedBy: string[] | null = null,
): Promise<NewSession> {
  const text = randomBytes(32).toString('base64url');
  const [row] = await tx
    .insert(dashboardSessions)
    .values({
      id: newId('ses'),
      accountId: key.accountId,
      keyId: key.keyId,
      hash: keyring.hashToken(text),
      admittedBy,
      expiresAt: sql`now() + ${sessionHours} * interval '1 hour'`,
    })
    .returning({ id: dashboardSessions.id, expiresAt: dashboardSessions.expiresAt });
  return { ...(row as { id: string; expiresAt: Date }), text };
}

export async function endSession(tx: Db, accountId: string, id: string): Promise<void> {
  await tx
    .delete(dashboardSessions)
    .where(and(eq(dashboardSessions.accountId, accountId), eq(dashboardSessions.id, id)));
}

/** Deletes what is past its time, in the scope of the installation. Index: dashboard_sessions_expiry. */
export async function sweepSessions(tx: Db): Promise<void> {
  await tx.delete(dashboardSessions).where(lte(dashboardSessions.expiresAt, sql`now()`));
}
