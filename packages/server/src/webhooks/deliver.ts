// Delivers what the outbox holds: signed, through the egress guard, with growing pauses, at least once and in the good case exactly once.
//
// Guarantee: an event is taken by one replica at a time (row lock, then a lease longer than an attempt); no transaction is held while
// the receiver answers. A receiver that fails is asked again for about ten hours, and delays nobody else's events.
// Failure: what cannot be written down is logged and tried again; nothing here ends the process.
import type { Parts } from '../context.ts';
import { signedHeaders } from '../crypto/webhook-signature.ts';
import { installationScope, withScope } from '../db/scope.ts';
import { type Attempted, claimDue, type DueDelivery, settleDelivery, sweepDeliveries } from './store.ts';

export interface Webhooks {
  /** Ends after the attempts that are running. */
  stop(): Promise<void>;
}

export interface WebhookOptions {
  /** Looked at this often even when nothing was heard. */
  everyMs?: number;
  /** Further work at a slow pace, such as finding credentials that are about to end. */
  sweeps?: readonly (() => Promise<void>)[];
}

type DeliverParts = Pick<Parts, 'db' | 'egress' | 'keyring' | 'log' | 'version'>;

const lookEveryMs = 5_000;
const sweepEveryMs = 60_000;
const attemptMs = 10_000;
/** Longer than an attempt and its writing down: only a dead process lets it run out. */
const leaseMs = 60_000;
const batch = 20;
const maxAttempts = 10;
const keepDays = 7;
const maxReplyBytes = 64 * 1024;
const gone = 410;

/** 5 s, 15 s, 45 s … 6 h; null after the last attempt. */
export function pauseAfter(attempts: number): number | null {
  return attempts >= maxAttempts ? null : Math.min(5_000 * 3 ** (attempts - 1), 6 * 3_600_000);
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : typeof error);

export function startWebhooks(parts: DeliverParts, options: WebhookOptions = {}): Webhooks {
  let isStopped = false;
  let running: Promise<void> | undefined;
  let isWoken = false;

  async function look(): Promise<void> {
    do {
      isWoken = false;
      const due = await withScope(parts.db, installationScope, (tx) => claimDue(tx, batch, leaseMs));
      await Promise.all(due.map((delivery) => attempt(parts, delivery)));
      if (due.length === batch) isWoken = true;
    } while (isWoken && !isStopped);
  }
  function wake(): void {
    isWoken = true;
    if (isStopped || running !== undefined) return;
    running = look()
      .catch((error: unknown) => parts.log.warn({ name: nameOf(error) }, 'webhook_look_failed'))
      .finally(() => {
        running = undefined;
      });
  }
  async function sweep(): Promise<void> {
    const own = () => withScope(parts.db, installationScope, (tx) => sweepDeliveries(tx, keepDays));
    for (const work of [own, ...(options.sweeps ?? [])]) {
      try {
        await work();
      } catch (error) {
        parts.log.warn({ name: nameOf(error) }, 'webhook_sweep_failed');
      }
    }
  }
  let sweeping = Promise.resolve();
  const timers = [
    setInterval(wake, options.everyMs ?? lookEveryMs),
    setInterval(() => {
      sweeping = sweeping.then(sweep);
    }, sweepEveryMs),
  ];
  for (const timer of timers) timer.unref();
  const unsubscribe = parts.db.changes.subscribe((topic) => {
    // Every change of a credential is told under its user.
    if (topic === '*' || topic.startsWith('user:')) wake();
  });
  return {
    async stop() {
      isStopped = true;
      unsubscribe();
      for (const timer of timers) clearInterval(timer);
      await running;
      await sweeping;
    },
  };
}

async function attempt(parts: DeliverParts, delivery: DueDelivery): Promise<void> {
  const end = await send(parts, delivery);
  try {
    await withScope(parts.db, installationScope, (tx) => settleDelivery(tx, delivery, end));
  } catch (error) {
    // Due again when the lease is over; the receiver knows it by its id.
    parts.log.warn({ name: nameOf(error), id: delivery.id }, 'webhook_settle_failed');
  }
}

async function send(parts: DeliverParts, delivery: DueDelivery): Promise<Attempted> {
  const { id, accountId, url, secret } = delivery;
  if (url === null || secret === null) return { status: null, isDelivered: false, retryAfterMs: null };
  const failed = (status: number | null): Attempted => ({
    status,
    isDelivered: false,
    retryAfterMs: status === gone ? null : pauseAfter(delivery.attempts),
  });
  try {
    // The same bytes at every attempt.
    const body = JSON.stringify({ type: delivery.event, timestamp: delivery.at.toISOString(), data: delivery.payload });
    const key = parts.keyring.openState(secret, 'webhook', accountId).toString('utf8');
    const answer = await parts.egress.request(`webhook ${accountId}`, url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': `MCP-Valet/${parts.version}`,
        ...signedHeaders(key, id, new Date(), body),
      },
      body,
      signal: AbortSignal.timeout(attemptMs),
      maxBytes: maxReplyBytes,
    });
    const isDelivered = answer.status >= 200 && answer.status < 300;
    return isDelivered ? { status: answer.status, isDelivered, retryAfterMs: null } : failed(answer.status);
  } catch (error) {
    // The egress guard's own sentence: no foreign text, no address.
    const why = error instanceof Error && error.name === 'EgressError' ? error.message : nameOf(error);
    parts.log.info({ id, accountId, attempts: delivery.attempts, why }, 'webhook_attempt_failed');
    return failed(null);
  }
}
