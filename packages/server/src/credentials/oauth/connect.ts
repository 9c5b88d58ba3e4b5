// Sign-in links: who gets one, and who may vouch for the person that opens it. A link names nobody and signs nobody in; it only says
// which credential a sign-in would fill, once that credential's user has proven to be there. No network here.

import { recordEvent } from '../../audit/record.ts';
import { getConnector } from '../../connectors/store.ts';
import type { Parts } from '../../context.ts';
import { findConnect } from '../../db/find-connect.ts';
import { type Db, withScope } from '../../db/scope.ts';
import { notFound, Refusal } from '../../refusal.ts';
import { findSettings } from '../../settings/store.ts';
import { lockUser } from '../../users/store.ts';
import type { CredentialRow } from '../find.ts';
import { createCredential, listOwnCredentials } from '../store.ts';
import { secretsToAskFor } from './ask.ts';
import { findLiveLink, hashOf, newToken, putTicket, takeLink } from './connect-store.ts';

export interface ConnectLink {
  /** Where the user signs in. Single use. */
  url: string;
  expiresAt: Date;
  credentialId: string;
}

type LinkParts = Pick<Parts, 'config' | 'keyring'>;

const linkUrl = (parts: Pick<Parts, 'config'>, id: string): string => `${parts.config.publicUrl}/connect/${id}`;

/**
 * A link for this credential, in the transaction of the caller; an open one is handed out again. Throws UNPROCESSABLE where there is nothing
 * to sign in to, INVALID_REQUEST for a return address that the account does not list.
 */
export async function linkFor(
  tx: Db,
  parts: LinkParts,
  credential: CredentialRow,
  redirectUri?: string,
): Promise<ConnectLink & { isNew: boolean }> {
  const { accountId, userId, connectorId, id: credentialId } = credential;
  if (redirectUri !== undefined) await checkRedirect(tx, accountId, redirectUri);
  const connector = await getConnector(tx, accountId, connectorId);
  if (credential.type === 'oauth2' && connector.oauth === null) throw notOffered(connectorId);
  if (credential.type !== 'oauth2' && secretsToAskFor(connector).length === 0) {
    throw new Refusal('UNPROCESSABLE', `Connector ${connectorId} names no secrets to ask for`, {
      reason: 'nothing_to_ask_for',
    });
  }
  await lockUser(tx, accountId, userId);
  const link = await takeLink(tx, parts.keyring, { accountId, userId, connectorId, credentialId, redirectUri });
  return { url: linkUrl(parts, link.id), expiresAt: link.expiresAt, credentialId, isNew: link.isNew };
}

export const notOffered = (connectorId: string): Refusal =>
  new Refusal('UNPROCESSABLE', `Connector ${connectorId} does not offer oauth2; use secrets with its fields`, {
    reason: 'oauth2_not_offered',
  });

/** Character by character: an address that only looks like a listed one is another one. */
export async function checkRedirect(tx: Db, accountId: string, redirectUri: string): Promise<void> {
  const settings = await findSettings(tx, accountId);
  if (settings?.redirectUris.includes(redirectUri)) return;
  throw new Refusal('INVALID_REQUEST', "redirectUri is not one of the account's redirectUris", {
    reason: 'redirect_not_listed',
    details: { issues: [{ path: 'redirectUri', message: "Is not one of the account's redirectUris" }] },
  });
}

export interface ConnectWish {
  accountId: string;
  userId: string;
  connectorId: string;
  /** The credential that a call asked for or found dead. */
  credentialId?: string | undefined;
  redirectUri?: string | undefined;
  /** Who asked, for the trail. */
  actor?: { keyId: string; kind: string; userId: string | null } | undefined;
  requestId?: string | undefined;
  address?: string | undefined;
}

/**
 * What to answer to a call that lacks a credential: where its user connects. Finds the credential that the call would use, or makes a
 * pending one. Undefined where a sign-in would not help: nothing to sign in to, or a choice among several that is the caller's.
 */
export async function openConnect(
  parts: LinkParts & Pick<Parts, 'db' | 'vault'>,
  wish: ConnectWish,
): Promise<ConnectLink | undefined> {
  return withScope(parts.db, { account: wish.accountId, user: wish.userId }, async (tx) => {
    const { accountId, userId, connectorId } = wish;
    const connector = await getConnector(tx, accountId, connectorId);
    const isOAuth = connector.oauth !== null;
    if (!isOAuth && secretsToAskFor(connector).length === 0) return undefined;
    await lockUser(tx, accountId, userId);
    const own = await listOwnCredentials(tx, { accountId, userId, connectorId });
    const chosen =
      wish.credentialId === undefined
        ? (own.find((one) => one.isDefault) ?? (own.length === 1 ? own[0] : undefined))
        : own.find((one) => one.id === wish.credentialId);
    if (chosen === undefined && (own.length > 0 || wish.credentialId !== undefined)) return undefined;
    if (chosen !== undefined && (chosen.type === 'oauth2' ? !isOAuth : secretsToAskFor(connector).length === 0))
      return undefined;
    const credential =
      chosen ??
      (await createCredential(tx, parts.vault, {
        accountId,
        userId,
        connectorId,
        authenticationType: isOAuth ? 'oauth2' : 'secrets',
        fields: {},
      }));
    const { isNew, ...link } = await linkFor(tx, parts, credential, wish.redirectUri);
    if (isNew) {
      await recordEvent(tx, {
        accountId,
        actor: wish.actor ?? null,
        action: 'credential.connect',
        outcome: 'ok',
        userId,
        target: credential.id,
        requestId: wish.requestId,
        address: wish.address,
        details: { connector: connectorId, created: chosen === undefined },
      });
    }
    if (chosen === undefined) await parts.db.changes.publish(tx, `user:${userId}`);
    return link;
  });
}

/**
 * A ticket for the user of this link. One answer for a link that is not there, has ended, or is somebody else's. The look-up that precedes
 * an account runs first: `tx` would wait for it on the embedded database.
 */
export async function makeTicket(
  tx: Db,
  parts: LinkParts,
  wish: { accountId: string; userId: string; connectUrl: string },
): Promise<{ url: string; expiresAt: Date; credentialId: string }> {
  const id = idOf(wish.connectUrl);
  const hash = hashOf(parts.keyring, 'link', id);
  const link = hash && (await findLiveLink(tx, wish.accountId, hash));
  if (id === undefined || link === undefined || link.userId !== wish.userId) throw notFound('Sign-in link');
  const ticket = newToken();
  const expiresAt = await putTicket(tx, link, hashOf(parts.keyring, 'ticket', ticket) as Buffer);
  if (expiresAt === undefined) throw notFound('Sign-in link');
  return { url: `${linkUrl(parts, id)}?ticket=${ticket}`, expiresAt, credentialId: link.credentialId };
}

function idOf(connectUrl: string): string | undefined {
  if (!URL.canParse(connectUrl)) return undefined;
  return /\/connect\/([A-Za-z0-9_-]{43})$/.exec(new URL(connectUrl).pathname)?.[1];
}

/** The account, user and link behind an id or a state, whoever presents it. */
export const findLink = (parts: Pick<Parts, 'db'>, hash: Uint8Array | undefined) =>
  hash === undefined ? Promise.resolve(undefined) : findConnect(parts.db, hash);
