// The outbox: what webhooks are to be told is written in the transaction of what happened, and delivered later. Rows hold ids, names and
// statuses, never a value. Delivering is `deliver`'s.
import { and, eq, inArray, isNotNull, isNull, lt, sql } from 'drizzle-orm';
import { users } from '../db/schema.ts';
import { accountSettings, webhookDeliveries } from '../db/schema-connect.ts';
import { type Db, rowsOf } from '../db/scope.ts';
import { randomBase62 } from '../ids.ts';

export interface Happened {
  accountId: string;
  event: string;
  data: Readonly<Record<string, unknown>>;
}

/** Adds the event to the transaction where the account has a webhook; whether it did. */
export async function addWebhookEvent(tx: Db, { accountId, event, data }: Happened): Promise<boolean> {
  const [settings] = await tx
    .select({ url: accountSettings.webhookUrl })
    .from(accountSettings)
    .where(and(eq(accountSettings.accountId, accountId), isNotNull(accountSettings.webhookUrl)));
  if (settings === undefined) return false;
  // The id is what receivers recognise a repetition by.
  const id = `msg_${randomBase62(22)}`;
  await tx.insert(webhookDeliveries).values({ id, accountId, event, payload: { ...data }, nextAt: sql`now()` });
  return true;
}

export interface StatusChange {
  accountId: string;
  credentialId: string;
  connectorId: string;
  userId: string;
  status: string;
  previousStatus: string;
}

/** `credential.status_changed`, in the transaction of the change, which also tells `user:…`. Nothing where the status stayed. */
export async function addStatusChange(tx: Db, change: StatusChange): Promise<boolean> {
  const { accountId, ...data } = change;
  if (change.status === change.previousStatus) return false;
  const [user] = await tx
    .select({ username: users.username })
    .from(users)
    .where(and(eq(users.accountId, accountId), eq(users.id, change.userId)));
  const at = new Date().toISOString();
  const event = 'credential.status_changed';
  return addWebhookEvent(tx, { accountId, event, data: { ...data, username: user?.username ?? null, at } });
}

/** One attempt that this process has taken upon itself. */
export interface DueDelivery {
  id: string;
  accountId: string;
  event: string;
  payload: Record<string, unknown>;
  /** Of this attempt, from 1. */
  attempts: number;
  /** When it happened. */
  at: Date;
  /** Null: the account has no webhook any more. */
  url: string | null;
  secret: Uint8Array | null;
}

/**
 * Takes up to `limit` due rows for `leaseMs`: other replicas skip them, and a process that dies leaves them due again. Index:
 * webhook_deliveries_next. Needs the scope of the installation.
 */
export async function claimDue(tx: Db, limit: number, leaseMs: number): Promise<DueDelivery[]> {
  const claimed = rowsOf<{ id: string }>(
    await tx.execute(sql`update webhook_deliveries d set attempts = d.attempts + 1,
      next_at = clock_timestamp() + ${leaseMs} * interval '1 millisecond'
      where d.id in (select id from webhook_deliveries where next_at <= clock_timestamp() order by next_at limit ${limit} for update skip locked)
      returning d.id`),
  ).map((row) => row.id);
  if (claimed.length === 0) return [];
  const rows = await tx
    .select({ delivery: webhookDeliveries, url: accountSettings.webhookUrl, secret: accountSettings.webhookSecret })
    .from(webhookDeliveries)
    .leftJoin(accountSettings, eq(accountSettings.accountId, webhookDeliveries.accountId))
    .where(inArray(webhookDeliveries.id, claimed));
  return rows.map(({ delivery, url, secret }) => ({
    id: delivery.id,
    accountId: delivery.accountId,
    event: delivery.event,
    payload: delivery.payload,
    attempts: delivery.attempts,
    at: delivery.createdAt,
    url,
    secret,
  }));
}

export interface Attempted {
  /** HTTP status; null when none came. */
  status: number | null;
  isDelivered: boolean;
  /** Null: this was the last attempt. */
  retryAfterMs: number | null;
}

/** Writes what became of an attempt, unless its lease ran out and another attempt began. */
export async function settleDelivery(tx: Db, { id, attempts }: DueDelivery, end: Attempted): Promise<void> {
  const isOver = end.isDelivered || end.retryAfterMs === null;
  await tx
    .update(webhookDeliveries)
    .set({
      lastStatus: end.status,
      nextAt: isOver ? null : sql`clock_timestamp() + ${end.retryAfterMs} * interval '1 millisecond'`,
      ...(end.isDelivered && { deliveredAt: sql`clock_timestamp()` }),
    })
    .where(
      and(eq(webhookDeliveries.id, id), eq(webhookDeliveries.attempts, attempts), isNotNull(webhookDeliveries.nextAt)),
    );
}

/** Removes what was delivered or given up and is older than `days`; how many rows. */
export async function sweepDeliveries(tx: Db, days: number): Promise<number> {
  const gone = await tx
    .delete(webhookDeliveries)
    .where(
      and(isNull(webhookDeliveries.nextAt), lt(webhookDeliveries.createdAt, sql`now() - ${days} * interval '1 day'`)),
    )
    .returning({ id: webhookDeliveries.id });
  return gone.length;
}

/** Accounts that want to be told. Needs the scope of the installation. */
export async function accountsWithWebhook(tx: Db): Promise<string[]> {
  const rows = await tx
    .select({ accountId: accountSettings.accountId })
    .from(accountSettings)
    .where(isNotNull(accountSettings.webhookUrl));
  return rows.map((row) => row.accountId);
}
