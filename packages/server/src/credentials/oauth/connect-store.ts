// Where sign-in links live: one row per link, found by the keyed hash of what is presented. Ids, tickets, browsers and states are stored as
// hashes only; the id also sealed, so that an open link can be handed out again. Every change says in its condition what it may follow, so
// that of two requests at a time one wins. Times are the database's.
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { and, desc, eq, gt, inArray, lte, sql } from 'drizzle-orm';
import type { Keyring } from '../../crypto/keyring.ts';
import { connectors, credentials, users } from '../../db/schema.ts';
import { connectRequests } from '../../db/schema-connect.ts';
import type { Db } from '../../db/scope.ts';

export type ConnectRow = typeof connectRequests.$inferSelect;
export type ConnectKeyring = Pick<Keyring, 'digest' | 'sealState' | 'openState'>;

/** How long a link may be used. */
export const linkMinutes = 10;
export const ticketSeconds = 60;
/** Attempts by somebody else, or with nothing to show for it, after which a link is void. */
export const maxMisses = 5;
/** A link that is about to end is not handed out again. */
const freshSeconds = 60;

/** 256 random bits as text. */
export const newToken = (): string => randomBytes(32).toString('base64url');
const isToken = (text: string): boolean => /^[A-Za-z0-9_-]{43}$/.test(text);

type HashKind = 'link' | 'ticket' | 'browser' | 'state';
/** The keyed hash of a token; undefined for what cannot be one. */
export function hashOf(keyring: ConnectKeyring, kind: HashKind, token: string | undefined): Buffer | undefined {
  return token !== undefined && isToken(token) ? keyring.digest(`mcpv/connect-${kind}/1`, token) : undefined;
}

export const isSameHash = (a: Uint8Array | null | undefined, b: Uint8Array | undefined): boolean =>
  a !== null && a !== undefined && b !== undefined && a.length === b.length && timingSafeEqual(a, b);

/** Links past their time, of everybody; in the scope of the installation. A user who never comes back leaves nothing behind. */
export async function sweepLinks(tx: Db): Promise<void> {
  await tx.delete(connectRequests).where(lte(connectRequests.expiresAt, sql`now()`));
}

const isLive = and(inArray(connectRequests.status, ['open', 'authorizing']), gt(connectRequests.expiresAt, sql`now()`));
const byHash = (accountId: string, hash: Uint8Array) =>
  and(eq(connectRequests.accountId, accountId), eq(connectRequests.hash, hash));
const placeOf = (row: { accountId: string; userId: string; credentialId: string }) =>
  ['connect-link', row.accountId, row.userId, row.credentialId] as const;

export interface LinkWish {
  accountId: string;
  userId: string;
  connectorId: string;
  credentialId: string;
  /** Undefined: whatever an open link says is fine. */
  redirectUri: string | null | undefined;
}

export interface Link {
  id: string;
  expiresAt: Date;
  isNew: boolean;
}

/** An open link for this credential, or a new one. The caller holds the user's row, so that two wishes at a time get one link. */
export async function takeLink(tx: Db, keyring: ConnectKeyring, wish: LinkWish): Promise<Link> {
  const { accountId, userId, connectorId, credentialId, redirectUri } = wish;
  const ofCredential = and(
    eq(connectRequests.accountId, accountId),
    eq(connectRequests.userId, userId),
    eq(connectRequests.credentialId, credentialId),
  );
  const [open] = await tx
    .select()
    .from(connectRequests)
    .where(
      and(
        ofCredential,
        isLive,
        gt(connectRequests.expiresAt, sql`now() + ${freshSeconds} * interval '1 second'`),
        redirectUri === undefined ? undefined : sql`${connectRequests.redirectUri} is not distinct from ${redirectUri}`,
      ),
    )
    .orderBy(desc(connectRequests.createdAt))
    .limit(1);
  if (open !== undefined) {
    const id = keyring.openState(open.sealedId, ...placeOf(open)).toString('utf8');
    return { id, expiresAt: open.expiresAt, isNew: false };
  }
  const id = newToken();
  const [row] = await tx
    .insert(connectRequests)
    .values({
      hash: hashOf(keyring, 'link', id) as Buffer,
      accountId,
      userId,
      connectorId,
      credentialId,
      redirectUri: redirectUri ?? null,
      sealedId: keyring.sealState(Buffer.from(id, 'utf8'), ...placeOf(wish)),
      expiresAt: sql`now() + ${linkMinutes} * interval '1 minute'`,
    })
    .returning({ expiresAt: connectRequests.expiresAt });
  return { id, expiresAt: (row as { expiresAt: Date }).expiresAt, isNew: true };
}

/** A link that can be used now, with what its page may tell once the person is proven. */
export interface LiveLink extends ConnectRow {
  username: string;
  connectorName: string;
  credentialType: (typeof credentials.$inferSelect)['type'];
  credentialLabel: string | null;
}

/** Undefined for a link that is used, void, expired, or whose user is disabled. */
export async function findLiveLink(tx: Db, accountId: string, hash: Uint8Array): Promise<LiveLink | undefined> {
  const [found] = await tx
    .select({
      row: connectRequests,
      username: users.username,
      connectorName: connectors.name,
      credentialType: credentials.type,
      credentialLabel: credentials.label,
    })
    .from(connectRequests)
    .innerJoin(
      users,
      and(
        eq(users.accountId, connectRequests.accountId),
        eq(users.id, connectRequests.userId),
        eq(users.enabled, true),
      ),
    )
    .innerJoin(
      connectors,
      and(
        eq(connectors.accountId, connectRequests.accountId),
        eq(connectors.id, connectRequests.connectorId),
        eq(connectors.enabled, true),
      ),
    )
    .innerJoin(
      credentials,
      and(
        eq(credentials.accountId, connectRequests.accountId),
        eq(credentials.id, connectRequests.credentialId),
        eq(credentials.userId, connectRequests.userId),
      ),
    )
    .where(and(byHash(accountId, hash), isLive));
  if (found === undefined) return undefined;
  const { row, ...facts } = found;
  return { ...row, ...facts };
}

/** Puts a ticket on the link in place of an earlier one; when it ends, or undefined when the link cannot be used by this user. */
export async function putTicket(
  tx: Db,
  link: { accountId: string; userId: string; hash: Uint8Array },
  ticketHash: Uint8Array,
): Promise<Date | undefined> {
  const [row] = await tx
    .update(connectRequests)
    .set({
      ticketHash,
      ticketExpiresAt: sql`least(now() + ${ticketSeconds} * interval '1 second', ${connectRequests.expiresAt})`,
    })
    .where(and(byHash(link.accountId, link.hash), eq(connectRequests.userId, link.userId), isLive))
    .returning({ endsAt: connectRequests.ticketExpiresAt });
  return row?.endsAt ?? undefined;
}

/** Trades the ticket for a browser, once. */
export async function spendTicket(
  tx: Db,
  accountId: string,
  hash: Uint8Array,
  ticketHash: Uint8Array,
  browserHash: Uint8Array,
): Promise<boolean> {
  const spent = await tx
    .update(connectRequests)
    .set({ ticketHash: null, ticketExpiresAt: null, browserHash })
    .where(
      and(
        byHash(accountId, hash),
        isLive,
        eq(connectRequests.ticketHash, ticketHash),
        gt(connectRequests.ticketExpiresAt, sql`now()`),
      ),
    )
    .returning({ hash: connectRequests.hash });
  return spent.length === 1;
}

/** Ties the link to the browser in which its user has signed in. */
export async function setBrowser(
  tx: Db,
  accountId: string,
  hash: Uint8Array,
  browserHash: Uint8Array,
): Promise<boolean> {
  const set = await tx
    .update(connectRequests)
    .set({ browserHash, ticketHash: null, ticketExpiresAt: null })
    .where(and(byHash(accountId, hash), isLive))
    .returning({ hash: connectRequests.hash });
  return set.length === 1;
}

/** Counts an attempt by somebody else; true when the link is void by it. */
export async function countMiss(tx: Db, accountId: string, hash: Uint8Array): Promise<boolean> {
  const [row] = await tx
    .update(connectRequests)
    .set({
      misses: sql`${connectRequests.misses} + 1`,
      status: sql`case when ${connectRequests.misses} + 1 >= ${maxMisses} then 'void' else ${connectRequests.status} end`,
    })
    .where(and(byHash(accountId, hash), isLive))
    .returning({ status: connectRequests.status });
  return row?.status === 'void';
}

/** Begins an authorization; one that was begun before on this link is forgotten. */
export async function beginFlow(
  tx: Db,
  link: ConnectRow,
  flow: { stateHash: Uint8Array; sealed: Uint8Array },
): Promise<boolean> {
  const begun = await tx
    .update(connectRequests)
    .set({ status: 'authorizing', stateHash: flow.stateHash, sealedFlow: flow.sealed })
    .where(
      and(
        byHash(link.accountId, link.hash),
        isLive,
        // The browser that was proven, not one that took over meanwhile.
        link.browserHash === null ? sql`false` : eq(connectRequests.browserHash, link.browserHash),
      ),
    )
    .returning({ hash: connectRequests.hash });
  return begun.length === 1;
}

/** Takes the authorization off the link, once: whoever presents its state again finds nothing. The link is over whatever comes of it. */
export async function takeFlow(tx: Db, link: ConnectRow, stateHash: Uint8Array): Promise<Uint8Array | undefined> {
  const [row] = await tx
    .select({ sealed: connectRequests.sealedFlow })
    .from(connectRequests)
    .where(and(byHash(link.accountId, link.hash), isLive, eq(connectRequests.stateHash, stateHash)))
    .for('update');
  if (row?.sealed == null) return undefined;
  await tx
    .update(connectRequests)
    .set({ status: 'void', stateHash: null, sealedFlow: null, browserHash: null })
    .where(byHash(link.accountId, link.hash));
  return row.sealed;
}

/** The link has done what it was for. False when something else ended it first. */
export async function finishLink(tx: Db, link: ConnectRow, from: 'open' | 'void'): Promise<boolean> {
  const done = await tx
    .update(connectRequests)
    .set({ status: 'done', stateHash: null, sealedFlow: null, browserHash: null, ticketHash: null })
    .where(and(byHash(link.accountId, link.hash), from === 'open' ? isLive : eq(connectRequests.status, 'void')))
    .returning({ hash: connectRequests.hash });
  return done.length === 1;
}

/** Ends all links of a user, authorizations that are under way included. Answers how many could still have been used. */
export async function voidLinksOf(tx: Db, accountId: string, userId: string): Promise<number> {
  const ended = await tx
    .update(connectRequests)
    .set({ status: 'void', stateHash: null, sealedFlow: null, browserHash: null, ticketHash: null })
    .where(and(eq(connectRequests.accountId, accountId), eq(connectRequests.userId, userId), isLive))
    .returning({ hash: connectRequests.hash });
  return ended.length;
}
