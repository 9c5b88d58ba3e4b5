// Renews the access tokens of oauth2 credentials: ahead of their end, and when an upstream refuses one.
//
// Guarantee: a refresh token is sent once, however many calls, processes and replicas want the new one at the same moment. Within the
// process they share one attempt; between replicas a lease on the credential's row (30 s, the database's clock) lets one of them through, and the
// others wait for what it stores. What comes back is written only over the refresh token that it was made with.
// Order: lease, open the refresh token, ask the provider with no transaction open, store, tell everybody.
// Failure: only the provider's `invalid_grant`, or tokens of somebody else, end a grant. Whatever else happens keeps it: the status says
// `unreachable`, the access token is used while it lives, and the next attempt waits a little longer each time.
import { oauthSecrets } from '@mcp-valet/shared';
import type { Parts } from '../../context.ts';
import { type Db, withScope } from '../../db/scope.ts';
import type { ConnectorRecord, CredentialRecord } from '../../identity/records.ts';
import { Refusal } from '../../refusal.ts';
import { isDue } from './due.ts';
import {
  type Grant,
  type GrantEnd,
  isSameSecret,
  leaseGrant,
  type RenewedTokens,
  readGrant,
  type Saved,
  saveRenewal,
  secretOf,
} from './grant-store.ts';
import type { Refresher } from './ports.ts';
import { tokenClientFor } from './provider.ts';
import { words } from './status.ts';
import { type Renewal, requestRenewal, requestRevocation } from './token-request.ts';
import { patiently, remember, sleep } from './waiting.ts';

export interface RunningRefresher extends Refresher {
  /** Waits for the attempts that are under way: their refresh tokens may be spent. Before the egress closes. */
  close(): Promise<void>;
}

/** The event of a renewal, as the trail takes it. */
export interface RefreshEvent {
  accountId: string;
  actor: null;
  action: 'credential.refresh';
  outcome: 'ok' | 'failed';
  userId: string;
  target: string;
  reason?: string;
  details: Record<string, unknown>;
}

export interface RefreshOptions {
  /** Writes the event in the given transaction. */
  record: (tx: Db, event: RefreshEvent) => Promise<void>;
  /** For one attempt, metadata included. Default 10,000; well below the lease. */
  attemptMs?: number;
}

export type RefreshParts = Pick<Parts, 'config' | 'db' | 'egress' | 'keyring' | 'vault' | 'log'>;

const leaseMs = 30_000;
const defaultAttemptMs = 10_000;
/** For the answer of another replica. */
const otherMs = 5_000;
/** While the old token still lives, a call does not wait longer for the new one. */
const aliveMs = 2_000;
const otherPauseMs = 1_000;
const lookEveryMs = 200;
const maxPauseMs = 60_000;
/** An upstream that refuses what was renewed this recently refuses the user, not the token's age. */
const tooSoonMs = 10_000;

type Outcome =
  | { kind: 'fresh'; record: CredentialRecord }
  | { kind: 'ended' }
  | { kind: 'unreachable'; retryAfterMs: number | undefined };

const placeOf = (record: CredentialRecord) => ({ accountId: record.accountId, userId: record.userId, id: record.id });
const accessOf = (record: CredentialRecord) => secretOf(record, oauthSecrets.access);
const keyOf = (record: CredentialRecord): string => {
  const sealed = accessOf(record)?.sealed;
  return JSON.stringify([
    record.accountId,
    record.id,
    sealed === undefined ? '' : Buffer.from(sealed).toString('base64'),
  ]);
};

export function createRefresher(parts: RefreshParts, options: RefreshOptions): RunningRefresher {
  return new LeasedRefresher(parts, options);
}

class LeasedRefresher implements RunningRefresher {
  readonly #parts: RefreshParts;
  readonly #record: RefreshOptions['record'];
  readonly #attemptMs: number;
  /** By credential and the token that is to be replaced: who wants to replace a newer one is another matter. */
  readonly #running = new Map<string, Promise<Outcome>>();
  /** Attempts that failed for the moment, and when the next one may be. */
  readonly #pauses = new Map<string, { until: number; count: number }>();
  /** When this process last stored the token under the key. */
  readonly #renewedAt = new Map<string, number>();

  constructor(parts: RefreshParts, options: RefreshOptions) {
    this.#parts = parts;
    this.#record = options.record;
    this.#attemptMs = options.attemptMs ?? defaultAttemptMs;
  }

  async ensureFresh(
    credential: CredentialRecord,
    connector: ConnectorRecord,
    signal: AbortSignal | null,
  ): Promise<CredentialRecord> {
    if (!isDue(credential, Date.now())) return credential;
    const isAlive = (credential.tokenExpiresAt?.getTime() ?? 0) > Date.now();
    // Nothing to renew it with: it is good to its last moment.
    if (isAlive && secretOf(credential, oauthSecrets.refresh) === undefined) return credential;
    const outcome = await patiently(this.#once(credential, connector), signal, isAlive ? aliveMs : undefined);
    switch (outcome?.kind) {
      case 'fresh': {
        const { record } = outcome;
        // Somebody else stored this one, and it is at its end too.
        const isStale = isDue(record, Date.now()) && !this.#renewedAt.has(keyOf(record));
        return isStale && keyOf(record) !== keyOf(credential) ? this.ensureFresh(record, connector, signal) : record;
      }
      case 'ended':
        return { ...credential, status: 'reauth_required' };
      case 'unreachable':
        return { ...credential, status: 'unreachable' };
      default:
        return credential;
    }
  }

  async refreshNow(
    credential: CredentialRecord,
    connector: ConnectorRecord,
    signal: AbortSignal | null,
  ): Promise<CredentialRecord> {
    const renewedAt = this.#renewedAt.get(keyOf(credential));
    const isTooSoon = renewedAt !== undefined && performance.now() - renewedAt < tooSoonMs;
    if (credential.type !== 'oauth2' || isTooSoon) throw ended(connector);
    const outcome = await patiently(this.#once(credential, connector), signal);
    if (outcome.kind === 'fresh') return outcome.record;
    if (outcome.kind === 'ended') throw ended(connector);
    throw new Refusal(
      'UPSTREAM_UNREACHABLE',
      'The sign-in provider could not renew the access now; the grant is kept',
      {
        reason: 'refresh_unreachable',
        executed: 'no',
        retryAfterMs: outcome.retryAfterMs,
      },
    );
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#running.values());
  }

  /** One attempt per token at a time, and none while the last failure is young. It outlives whoever waits for it. */
  #once(credential: CredentialRecord, connector: ConnectorRecord): Promise<Outcome> {
    const key = keyOf(credential);
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const pause = this.#pauses.get(key);
    const leftMs = (pause?.until ?? 0) - performance.now();
    if (leftMs > 0) return Promise.resolve({ kind: 'unreachable', retryAfterMs: Math.ceil(leftMs) });
    const attempt = this.#attempt(key, credential, connector).finally(() => this.#running.delete(key));
    this.#running.set(key, attempt);
    return attempt;
  }

  async #attempt(key: string, credential: CredentialRecord, connector: ConnectorRecord): Promise<Outcome> {
    const seen = accessOf(credential);
    const leased = await this.#within(credential, (tx) => leaseGrant(tx, placeOf(credential), seen, leaseMs));
    if (leased === undefined) return { kind: 'ended' };
    if (!leased.isTaken) return this.#outcomeOf(leased.grant, credential) ?? this.#waitForOther(key, credential);
    const made = await this.#renew(leased.grant, connector);
    const saved = await this.#save(leased.grant, made.kind === 'renewed' ? made.tokens : endOf(made));
    if (made.kind === 'failed') return this.#pause(key, made.retryAfterMs);
    this.#pauses.delete(key);
    if (saved === undefined) {
      // A sign-in replaced the grant while we asked, or it was deleted.
      const now = await this.#within(credential, (tx) => readGrant(tx, placeOf(credential)));
      // Nobody will ever use or end what came back, unless it is ended here.
      if (now === undefined && made.kind === 'renewed') await this.#endOrphan(connector, made.tokens);
      return (now && this.#outcomeOf(now, credential)) ?? { kind: 'ended' };
    }
    if (made.kind === 'ended') return { kind: 'ended' };
    remember(this.#renewedAt, keyOf(saved.grant.record), performance.now());
    return { kind: 'fresh', record: saved.grant.record };
  }

  /** What the stored grant means for somebody who saw `credential`; undefined while nothing has come of it. */
  #outcomeOf({ record }: Grant, credential: CredentialRecord): Outcome | undefined {
    if (record.status === 'reauth_required') return { kind: 'ended' };
    return isSameSecret(accessOf(record), accessOf(credential)) ? undefined : { kind: 'fresh', record };
  }

  async #renew({ record, subject }: Grant, connector: ConnectorRecord): Promise<Renewal> {
    const { vault } = this.#parts;
    const sealed = secretOf(record, oauthSecrets.refresh);
    if (sealed === undefined) {
      const isOver = record.tokenExpiresAt !== null && record.tokenExpiresAt.getTime() <= Date.now();
      return { kind: 'ended', lastError: isOver ? words.expired : words.rejected };
    }
    const place = {
      account: record.accountId,
      user: record.userId,
      connector: record.connectorId,
      credential: record.id,
    };
    const token = (await vault.open(place, [sealed])).get(oauthSecrets.refresh) as string;
    const made = await requestRenewal(this.#parts, connector, token, AbortSignal.timeout(this.#attemptMs));
    const told = made.kind === 'renewed' ? made.tokens.subject : undefined;
    if (told === undefined || subject === null || told === subject) return made;
    return { kind: 'ended', lastError: words.foreign };
  }

  /** Stores what came of it. New tokens may be the only ones that work: a database that is away for a moment must not lose them. */
  async #save(grant: Grant, made: RenewedTokens | GrantEnd): Promise<Saved | undefined> {
    const { db, vault } = this.#parts;
    const { record } = grant;
    const isEnd = 'status' in made;
    for (let tries = 1; ; tries++) {
      try {
        return await this.#within(record, async (tx) => {
          const saved = await saveRenewal(tx, vault, grant, made);
          if (saved === undefined) return undefined;
          if (!isEnd || saved.statusChanged) await this.#record(tx, eventOf(record, made));
          await db.changes.publish(tx, `user:${record.userId}`);
          return saved;
        });
      } catch (error) {
        const name = error instanceof Error ? error.name : typeof error;
        if (!name.startsWith('Database') || tries === saveTries) throw error;
        this.#parts.log.warn({ name, credentialId: record.id, tries }, 'refresh_save_failed');
        await sleep(saveAgainMs * 2 ** tries);
      }
    }
  }

  /** Tokens of a grant that was deleted while they were on their way. Best effort. */
  async #endOrphan(connector: ConnectorRecord, tokens: RenewedTokens): Promise<void> {
    const { oauth } = connector;
    if (oauth === null) return;
    try {
      const client = await tokenClientFor(this.#parts, { ...connector, oauth });
      if (client.as.revocation_endpoint === undefined) return;
      const signal = AbortSignal.timeout(this.#attemptMs);
      await Promise.all([
        tokens.refreshToken && requestRevocation(client, tokens.refreshToken, 'refresh_token', signal),
        requestRevocation(client, tokens.accessToken, 'access_token', signal),
      ]);
    } catch (error) {
      this.#parts.log.warn({ name: error instanceof Error ? error.name : typeof error }, 'revocation_failed');
    }
  }

  /** Another replica is at it: what it stores is ours too. */
  async #waitForOther(key: string, credential: CredentialRecord): Promise<Outcome> {
    const until = performance.now() + otherMs;
    let wake: () => void = () => undefined;
    const unsubscribe = this.#parts.db.changes.subscribe((topic) => {
      if (topic === '*' || topic === `user:${credential.userId}`) wake();
    });
    try {
      while (performance.now() < until) {
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, lookEveryMs);
        });
        const grant = await this.#within(credential, (tx) => readGrant(tx, placeOf(credential)));
        if (grant === undefined) return { kind: 'ended' };
        const outcome = this.#outcomeOf(grant, credential);
        if (outcome !== undefined) return outcome;
        // It gave up without a new token: asking the same provider again at once would not help.
        if (!grant.isLeased) break;
      }
      return this.#pause(key, otherPauseMs);
    } finally {
      unsubscribe();
    }
  }

  #pause(key: string, askedMs: number | undefined): Outcome {
    const count = (this.#pauses.get(key)?.count ?? 0) + 1;
    const pauseMs = askedMs ?? Math.min(1_000 * 2 ** (count - 1), maxPauseMs);
    remember(this.#pauses, key, { until: performance.now() + pauseMs, count });
    return { kind: 'unreachable', retryAfterMs: pauseMs };
  }

  #within<T>({ accountId, userId }: CredentialRecord, fn: (tx: Db) => Promise<T>): Promise<T> {
    return withScope(this.#parts.db, { account: accountId, user: userId }, fn);
  }
}

const saveTries = 5;
const saveAgainMs = 100;

const ended = (connector: ConnectorRecord): Refusal =>
  new Refusal('REAUTH_REQUIRED', `The credentials for connector ${connector.id} are no longer accepted`, {
    reason: 'credential_dead',
    executed: 'no',
  });

const endOf = ({ kind, lastError }: Exclude<Renewal, { kind: 'renewed' }>): GrantEnd => ({
  status: kind === 'ended' ? 'reauth_required' : 'unreachable',
  lastError,
});

function eventOf(record: CredentialRecord, made: RenewedTokens | GrantEnd): RefreshEvent {
  const { accountId, userId, connectorId } = record;
  const failed = 'status' in made;
  return {
    accountId,
    actor: null,
    action: 'credential.refresh',
    outcome: failed ? 'failed' : 'ok',
    userId,
    target: record.id,
    ...(failed && { reason: made.status }),
    details: { connector: connectorId, ...(failed && { why: made.lastError }) },
  };
}
