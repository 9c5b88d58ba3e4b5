// From a user token to the user whom it proves: which issuer may speak for which account, whether the token is good, who its subject is.
// Guarantee: a subject is one user of the account for good. A subject seen for the first time becomes a new user where the issuer may make
// some, and never one who was there. Everything read here is at most 5 seconds old, and a revocation drops it at once. What was refused is not
// remembered. Failure: whoever cannot be asked (database, key set, verifier) lets nobody in.
import { performance } from 'node:perf_hooks';
import { usernamePattern, username as usernameSchema } from '@mcp-valet/shared';
import { recordEvent } from '../audit/record.ts';
import type { Parts } from '../context.ts';
import { scopedQuery, withScope } from '../db/scope.ts';
import { addIdentity, dropFreshUser, type IssuerConfig, insertFreshUser, secretPlace } from '../issuers/store.ts';
import { Refusal, userNotFound } from '../refusal.ts';
import { findUser } from '../users/store.ts';
import { Cache, Changes, type Topic } from './cache.ts';
import { type Claims, isOfTenant, namesFor, scopesOf } from './claims.ts';
import { type ProvenUser, type UserTokens, unauthorized } from './identify.ts';
import { createKeySets } from './jwks.ts';
import { isForAudience, maxTokenBytes, readUnverified, TokenError, verifyJwt } from './jwt.ts';
import { holdsScope, readClaim, type UserProof } from './principal.ts';
import type { IssuerRecord } from './records.ts';
import {
  askHook,
  askVerifier,
  type SessionAnswer,
  type TokenPlace,
  type VerifiedUser,
  type VerifyToken,
} from './session-verifier.ts';

type TokenParts = Pick<Parts, 'db' | 'directory' | 'egress' | 'keyring' | 'version'>;

export interface UserTokenOptions {
  verifyToken?: VerifyToken | undefined;
  /** The account of sessions for which the embedding application names none. */
  defaultAccountId: string;
}

const ttlMs = 5_000;
const everything: Topic = 'account:*';
/** Who proves the sessions of the embedding application, in logs and audit rows. */
export const hookId = 'verifyToken';

const subjectSql = `select (select user_id from user_identities where account_id = $1 and issuer_id = $2 and subject = $3) as "userId",
  exists (select 1 from revoked_tokens where account_id = $1 and issuer_id = $2 and token_id = $4 and expires_at > now()) as revoked`;

const configOf = (issuer: IssuerRecord): IssuerConfig => issuer.config as unknown as IssuerConfig;
const isUsable = (issuer: IssuerRecord): boolean => issuer.enabled && issuer.accountEnabled;

export function createUserTokens(parts: TokenParts, options: UserTokenOptions): UserTokens {
  return new Verifier(parts, options);
}

class Verifier implements UserTokens {
  readonly #parts: TokenParts;
  readonly #options: UserTokenOptions;
  readonly #keySets: ReturnType<typeof createKeySets>;
  readonly #subjects: Cache<string | null>;
  readonly #sessions: Cache<SessionAnswer>;
  readonly #hooked: Cache<VerifiedUser>;

  constructor(parts: TokenParts, options: UserTokenOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#keySets = createKeySets({ egress: parts.egress, now: () => performance.now() });
    const changes = new Changes();
    parts.directory.onChange((topic) => changes.touch(topic === '*' ? everything : topic));
    const cacheOptions = {
      ttlMs,
      maxEntries: 10_000,
      now: () => performance.now(),
      isFresh: () => parts.db.changes.isFresh(),
    };
    this.#subjects = new Cache(changes, cacheOptions);
    this.#sessions = new Cache(changes, cacheOptions);
    this.#hooked = new Cache(changes, cacheOptions);
  }

  async knows(token: string): Promise<boolean> {
    const iss = readUnverified(token)?.payload['iss'];
    return typeof iss === 'string' && iss.length <= 2_048 && (await this.#parts.directory.issuers(iss)).length > 0;
  }

  async prove(token: string, place: TokenPlace): Promise<ProvenUser> {
    try {
      if (token.length > maxTokenBytes) throw new TokenError('too_long');
      const account = place.accountId ?? (await this.#accountOf(place.serverId));
      const issuer = await this.#issuerOf(token, place, account);
      if (issuer !== undefined) return await this.#byJwt(token, issuer);
      return await this.#bySession(token, { ...place, accountId: account });
    } catch (error) {
      if (error instanceof TokenError) throw unauthorized(error.reason);
      throw error;
    }
  }

  async #accountOf(serverId: string | undefined): Promise<string | undefined> {
    if (serverId === undefined || !/^[\x21-\x7e]{1,128}$/.test(serverId)) return undefined;
    const found = await this.#parts.directory.accountOfServer(serverId);
    return found?.accountEnabled === true ? found.accountId : undefined;
  }

  /**
   * The issuer whose word counts here; undefined when the text is no JWT of a known one. With a key it must be one of the key's account. Alone,
   * the account of the server that is called comes first, then the only account for which issuer, audience and tenant speak: a server of
   * somebody else's account changes nothing, so that it cannot be told from one that is not there.
   */
  async #issuerOf(token: string, place: TokenPlace, account: string | undefined): Promise<IssuerRecord | undefined> {
    const payload = readUnverified(token)?.payload;
    const iss = payload?.['iss'];
    if (payload === undefined || typeof iss !== 'string' || iss.length > 2_048) return undefined;
    const all = await this.#parts.directory.issuers(iss);
    const known = place.accountId === undefined ? all : all.filter(({ accountId }) => accountId === place.accountId);
    if (known.length === 0) return undefined;
    const enabled = known.filter(isUsable);
    if (enabled.length === 0) throw new TokenError('issuer_disabled');
    const meant = enabled.filter((issuer) => isForAudience(payload, configOf(issuer)));
    if (meant.length === 0) throw new TokenError('audience');
    const fitting = meant.filter((issuer) => isOfTenant(payload, configOf(issuer)));
    if (fitting.length === 0) throw new TokenError('tenant');
    const here = fitting.find(({ accountId }) => accountId === account);
    if (here !== undefined) return here;
    if (new Set(fitting.map(({ accountId }) => accountId)).size > 1) throw new TokenError('ambiguous_account');
    return fitting[0];
  }

  async #byJwt(token: string, issuer: IssuerRecord): Promise<ProvenUser> {
    const { keyring } = this.#parts;
    const config = configOf(issuer);
    const secret = () =>
      issuer.secret === null
        ? undefined
        : new Uint8Array(keyring.openState(issuer.secret, ...secretPlace(issuer.accountId, issuer.id)));
    const claims = await verifyJwt(token, { issuer: issuer.issuer ?? '', config, secret }, this.#keySets, Date.now());
    return this.#proof(issuer, claims, typeof claims.exp === 'number' ? new Date(claims.exp * 1000) : null);
  }

  async #bySession(token: string, place: TokenPlace): Promise<ProvenUser> {
    const { accountId } = place;
    const all = accountId === undefined ? [] : await this.#parts.directory.issuersOf(accountId);
    const [issuer] = all
      .filter((one) => one.type === 'webhook' && isUsable(one) && token.startsWith(configOf(one).tokenPrefix ?? ''))
      .sort((a, b) => (configOf(b).tokenPrefix?.length ?? 0) - (configOf(a).tokenPrefix?.length ?? 0));
    if (issuer !== undefined) {
      const answer = await this.#session(token, issuer);
      return this.#proof(issuer, answer.claims, answer.expiresAt);
    }
    if (this.#options.verifyToken === undefined) throw new TokenError('unknown');
    return this.#byHook(token, place, this.#options.verifyToken);
  }

  async #session(token: string, issuer: IssuerRecord): Promise<SessionAnswer> {
    const { cacheSeconds } = configOf(issuer);
    const ask = () => askVerifier(this.#parts, issuer, token);
    const answer =
      cacheSeconds === 0
        ? await ask()
        : await this.#sessions.get(
            `${issuer.id} ${this.#parts.keyring.hashToken(token).toString('base64')}`,
            ask,
            () => [everything, 'issuers:*', `account:${issuer.accountId}`, `key:${issuer.id}`],
            () => cacheSeconds * 1000,
          );
    if (answer.expiresAt !== null && answer.expiresAt.getTime() <= Date.now()) throw new TokenError('expired');
    return answer;
  }

  async #byHook(token: string, place: TokenPlace, hook: VerifyToken): Promise<ProvenUser> {
    const hash = this.#parts.keyring.hashToken(token).toString('base64');
    const answer = await this.#hooked.get(
      JSON.stringify([hash, place.accountId, place.serverId]),
      () => askHook(hook, token, place),
      () => [everything],
    );
    const { user, expiresAt = null, scopes = [], claims = {} } = answer;
    if (expiresAt !== null && expiresAt.getTime() <= Date.now()) throw new TokenError('expired');
    const accountId = answer.accountId ?? place.accountId ?? this.#options.defaultAccountId;
    if (place.accountId !== undefined && accountId !== place.accountId) throw new TokenError('account');
    const { directory } = this.#parts;
    if ((await directory.account(accountId))?.enabled !== true) throw new TokenError('account_disabled');
    let userId = (await this.#findUser(accountId, user))?.id;
    if (userId === undefined && answer.createUser === true && usernameSchema.safeParse(user).success)
      userId = await this.#createUser(accountId, hookId, [user], undefined);
    if (userId === undefined) throw userNotFound();
    const proof = { issuerId: hookId, subject: user, tokenId: null, userId, claims: { sub: user, ...claims }, scopes };
    await this.#checkUser(accountId, userId, undefined);
    return { accountId, proof: { ...proof, expiresAt } };
  }

  /** Who the claims are of. */
  async #proof(issuer: IssuerRecord, claims: Claims, expiresAt: Date | null): Promise<ProvenUser> {
    const config = configOf(issuer);
    const { accountId } = issuer;
    const subject = readClaim(claims, config.subjectClaim);
    if (typeof subject !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(subject)) throw new TokenError('subject');
    if (!isOfTenant(claims, config)) throw new TokenError('tenant');
    const tokenId = typeof claims['jti'] === 'string' ? claims['jti'] : null;
    const scopes = scopesOf(claims, config.scopeClaims);
    const mapped = await this.#subject(issuer, claims, subject, tokenId);
    const userId = config.userClaim === null ? mapped : (await this.#named(accountId, claims, config.userClaim))?.id;
    if (userId === undefined || userId === null) throw userNotFound();
    await this.#checkUser(accountId, userId, claims['iat']);
    if (!config.requiredScopes.every((scope) => holdsScope(scopes, scope))) {
      throw new Refusal('INSUFFICIENT_SCOPE', `The token lacks a scope: ${config.requiredScopes.join(' ')}`, {
        reason: 'user_token_scope',
        details: { requiredScopes: config.requiredScopes },
      });
    }
    const proof: UserProof = { issuerId: issuer.id, subject, tokenId, userId, claims, scopes, expiresAt };
    return { accountId, proof };
  }

  async #findUser(accountId: string, ref: string) {
    return usernamePattern.test(ref) ? this.#parts.directory.user(accountId, ref) : undefined;
  }

  async #named(accountId: string, claims: Claims, claim: string) {
    const name = readClaim(claims, claim);
    return typeof name === 'string' ? this.#findUser(accountId, name) : undefined;
  }

  /** The user that the subject is, null where nobody asks for a mapping. Throws for a token that was refused by name. */
  async #subject(
    issuer: IssuerRecord,
    claims: Claims,
    subject: string,
    tokenId: string | null,
  ): Promise<string | null> {
    const { accountId, id } = issuer;
    const config = configOf(issuer);
    const load = async (): Promise<string | null> => {
      const params = [accountId, id, subject, tokenId];
      const [row] = await scopedQuery<{ userId: string | null; revoked: boolean }>(
        this.#parts.db,
        { account: accountId, user: '*' },
        subjectSql,
        params,
      );
      if (row?.revoked !== false) throw new TokenError('revoked');
      if (config.userClaim !== null || row.userId !== null || !config.createUsers) return row.userId;
      return this.#createUser(accountId, id, namesFor(config, claims, id, subject), subject);
    };
    const topics = (userId: string | null): Topic[] => [
      everything,
      'issuers:*',
      `account:${accountId}`,
      `key:${id}`,
      ...(userId === null ? [] : [`user:${userId}` as const]),
    ];
    // Null is not kept: a mapping made now counts now. With `userClaim` there is none, and the list of refused tokens is asked each time.
    return this.#subjects.get(JSON.stringify([id, subject, tokenId]), load, topics);
  }

  /** A new user, bound to the subject in the same transaction; of several at a time the first one counts for all. */
  async #createUser(
    accountId: string,
    issuerId: string,
    names: readonly string[],
    subject: string | undefined,
  ): Promise<string> {
    const { db } = this.#parts;
    return withScope(db, { account: accountId, user: '*' }, async (tx) => {
      const user = await insertFreshUser(tx, accountId, names);
      if (user === undefined) {
        // An embedding application names our users: somebody else's request may have made this one meanwhile.
        const there = subject === undefined ? await findUser(tx, accountId, names[0] ?? '') : undefined;
        if (there === undefined) throw userNotFound();
        return there.id;
      }
      if (subject !== undefined) {
        const { row, isNew } = await addIdentity(tx, { accountId, issuerId, subject, userId: user.id });
        if (!isNew) {
          await dropFreshUser(tx, accountId, user.id);
          return row.userId;
        }
      }
      await recordEvent(tx, {
        accountId,
        actor: { keyId: issuerId, kind: 'jwt', userId: user.id },
        action: 'user.create',
        outcome: 'ok',
        userId: user.id,
        target: user.username,
        details: { by: 'first_sign_in' },
      });
      await db.changes.publish(tx, `user:${user.id}`);
      return user.id;
    });
  }

  async #checkUser(accountId: string, userId: string, iat: unknown): Promise<void> {
    const user = await this.#parts.directory.user(accountId, userId);
    if (user === undefined) throw userNotFound();
    if (!user.enabled)
      throw new Refusal('USER_DISABLED', 'The user is disabled', { reason: 'user_disabled', word: 'user_disabled' });
    const { tokensNotBefore } = user;
    // Sessions that do not say when they began end at their own store.
    if (tokensNotBefore !== null && typeof iat === 'number' && iat * 1000 < tokensNotBefore.getTime())
      throw new TokenError('signed_out');
  }
}
