// How people manage credentials: store, look, change, delete. Values go in and never come out; replies and audit events hold names only.
import type { Contract, Credential } from '@mcp-valet/shared';
import { getConnector } from '../connectors/store.ts';
import type { Ctx, Handler } from '../context.ts';
import type { Db } from '../db/scope.ts';
import { holdGroups } from '../groups/store.ts';
import { managedUser } from '../identity/principal.ts';
import { closePage, openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { getNamedUser } from '../users/store.ts';
import { type CredentialRow, getCredential, listCredentials, secretNamesOf } from './find.ts';
import { type ConnectLink, linkFor, makeTicket, notOffered } from './oauth/connect.ts';
import { revokeGrant } from './oauth/revoke.ts';
import { currentStatus } from './oauth/status.ts';
import { createCredential, deleteCredential, storeGrant, updateCredential } from './store.ts';

type Routes = Contract['credentials'];

const shown = (row: CredentialRow & { username: string }, secretNames: string[]): Credential => ({
  credentialId: row.id,
  userId: row.userId,
  username: row.username,
  connectorId: row.connectorId,
  authenticationType: row.type,
  label: row.label,
  status: currentStatus(row, secretNames),
  isDefault: row.isDefault,
  shared: row.shared,
  groupIds: row.groupIds,
  secretNames,
  ...(row.scopes !== null && { scopes: row.scopes }),
  ...(row.type === 'oauth2' && { tokenExpiresAt: row.tokenExpiresAt?.toISOString() ?? null }),
  ...(row.lastError !== null && { lastError: row.lastError }),
  createdAt: row.createdAt.toISOString(),
  updatedAt: row.updatedAt.toISOString(),
});

async function shownWithNames(tx: Db, row: CredentialRow & { username: string }): Promise<Credential> {
  return shown(row, (await secretNamesOf(tx, row.accountId, [row.id])).get(row.id) ?? []);
}

const withLink = (credential: Credential, link: ConnectLink): Credential => ({
  ...credential,
  oauthUrl: link.url,
  expiresAt: link.expiresAt.toISOString(),
});

interface Sharing {
  shared?: boolean | undefined;
  groupIds?: readonly string[] | null | undefined;
}

/** Lending a credential to others of an account is the account's decision, not its owner's. */
async function checkShared(ctx: Ctx, { shared, groupIds }: Sharing): Promise<void> {
  if (shared === undefined && groupIds === undefined) return;
  // Who is kept to some users must not lend to the others either: their calls would run with it.
  if (!ctx.principal.mayActForUsers || ctx.principal.allowedUsers !== null) {
    throw new Refusal('FORBIDDEN', 'Only an admin or an enterprise key for all users may share a credential', {
      reason: 'sharing_not_allowed',
    });
  }
  if (groupIds) await holdGroups(ctx.db, ctx.principal.accountId, groupIds);
}

function refuseField(path: string, message: string): never {
  throw new Refusal('INVALID_REQUEST', `Invalid request: ${path}: ${message}`, {
    details: { issues: [{ path, message }] },
  });
}

interface Tokens {
  accessToken: string;
  refreshToken?: string | undefined;
  expiresIn?: number | undefined;
  scopes?: string[] | undefined;
}

/** Whose the tokens are at the provider is not known here: the first renewal says it. */
const deposited = ({ accessToken, refreshToken, expiresIn, scopes }: Tokens) => ({
  accessToken,
  refreshToken,
  expiresIn,
  scopes,
  subject: null,
});

const sharing = ({ shared, groupIds }: CredentialRow) => ({ shared, ...(groupIds !== null && { groups: groupIds }) });

const told = (ctx: Ctx, row: CredentialRow, details: Record<string, unknown>) =>
  ctx.note({ target: row.id, userId: row.userId, details: { connector: row.connectorId, ...details } });

/** Who else may use it is found by account: sharing, and the end of it, concerns everybody. */
function changedOf(ctx: Ctx, row: Pick<CredentialRow, 'accountId' | 'userId'>, isOrWasShared: boolean): void {
  ctx.changed(`user:${row.userId}`);
  if (isOrWasShared) ctx.changed(`connectors:${row.accountId}`);
}

const create: Handler<Routes['create']> = async ({ body }, ctx) => {
  ctx.note({ target: body.connectorId });
  const isOAuth = body.authenticationType === 'oauth2';
  if (!isOAuth && body.tokens !== undefined) refuseField('tokens', 'Belongs to authenticationType oauth2');
  if (!isOAuth && body.redirectUri !== undefined) refuseField('redirectUri', 'Belongs to authenticationType oauth2');
  if (body.groupIds && body.shared !== true) refuseField('groupIds', 'Needs shared: true');
  const user = await getNamedUser(ctx, ctx.db, body.userId);
  await checkShared(ctx, body);
  const connector = await getConnector(ctx.db, user.accountId, body.connectorId);
  if (isOAuth && connector.oauth === null) throw notOffered(connector.id);
  const fields = body.fields ?? {};
  const made = await createCredential(ctx.db, ctx.parts.vault, {
    accountId: user.accountId,
    userId: user.id,
    connectorId: body.connectorId,
    authenticationType: body.authenticationType,
    credentialId: body.credentialId,
    fields,
    label: body.label,
    isDefault: body.isDefault,
    shared: body.shared,
    groupIds: body.groupIds,
  });
  const { tokens } = body;
  const row = tokens === undefined ? made : await storeGrant(ctx.db, ctx.parts.vault, made, deposited(tokens));
  const how = isOAuth ? { by: tokens === undefined ? 'link' : 'tokens' } : {};
  told(ctx, row, { type: row.type, names: Object.keys(fields), is_default: row.isDefault, ...sharing(row), ...how });
  changedOf(ctx, row, row.shared);
  const credential = await shownWithNames(ctx.db, { ...row, username: user.username });
  if (!isOAuth || tokens !== undefined) return credential;
  return withLink(credential, await linkFor(ctx.db, ctx.parts, row, body.redirectUri));
};

const connect: Handler<Routes['connect']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.credentialId });
  const row = await getCredential(ctx.db, ctx.principal.accountId, params.credentialId);
  const link = await linkFor(ctx.db, ctx.parts, row, body?.redirectUri);
  told(ctx, row, { by: 'link' });
  return withLink(await shownWithNames(ctx.db, row), link);
};

const ticket: Handler<Routes['ticket']> = async ({ body }, ctx) => {
  const user = await getNamedUser(ctx, ctx.db, body.userId);
  ctx.note({ userId: user.id });
  const { connectUrl } = body;
  const made = await makeTicket(ctx.db, ctx.parts, { accountId: user.accountId, userId: user.id, connectUrl });
  ctx.note({ userId: user.id, target: made.credentialId });
  return { url: made.url, expiresAt: made.expiresAt.toISOString() };
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const { accountId } = ctx.principal;
  const page = openPage('credentials', ['time', 'text'], query);
  // Without a name a key that manages the account sees all users, one that manages itself is narrowed by its scope.
  const user =
    query.userId === undefined && ctx.principal.mayActForUsers
      ? undefined
      : await getNamedUser(ctx, ctx.db, query.userId);
  const { rows: read, total } = await listCredentials(
    ctx.db,
    accountId,
    { userId: user?.id, connectorId: query.connectorId },
    page,
  );
  const { rows, facts } = closePage(page, read, total, (row) => [String(row.createdAt.getTime()), row.id]);
  const ids = rows.map((row) => row.id);
  const names = await secretNamesOf(ctx.db, accountId, ids);
  return { credentials: rows.map((row) => shown(row, names.get(row.id) ?? [])), ...facts };
};

const get: Handler<Routes['get']> = async ({ params }, ctx) =>
  shownWithNames(ctx.db, await getCredential(ctx.db, ctx.principal.accountId, params.credentialId));

const update: Handler<Routes['update']> = async ({ params, body }, ctx) => {
  ctx.note({ target: params.credentialId });
  const before = await getCredential(ctx.db, ctx.principal.accountId, params.credentialId);
  await checkShared(ctx, body);
  const { tokens } = body;
  if (tokens !== undefined && before.type !== 'oauth2')
    refuseField('tokens', 'Belongs to a credential with authenticationType oauth2');
  const changed = await updateCredential(ctx.db, ctx.parts.vault, before, body);
  const row = tokens === undefined ? changed : await storeGrant(ctx.db, ctx.parts.vault, changed, deposited(tokens));
  const how = {
    ...(tokens !== undefined && { by: 'tokens' }),
    ...((body.shared !== undefined || body.groupIds !== undefined) && sharing(row)),
  };
  told(ctx, row, { names: Object.keys(body.fields ?? {}), is_default: row.isDefault, ...how });
  changedOf(ctx, row, row.shared || before.shared);
  return shownWithNames(ctx.db, { ...row, username: before.username });
};

/** What the provider said to the end of a grant, by the request that deletes it. */
const revoked = new WeakMap<object, boolean | null>();

const remove: Handler<Routes['delete']> = async ({ params }, ctx) => {
  ctx.note({ target: params.credentialId });
  const row = await getCredential(ctx.db, ctx.principal.accountId, params.credentialId);
  const revokedUpstream = revoked.get(params);
  const secrets = await deleteCredential(ctx.db, row);
  told(ctx, row, { secrets, ...(revokedUpstream !== undefined && { revoked_upstream: revokedUpstream }) });
  changedOf(ctx, row, row.shared);
  const reply = { message: 'Credential deleted' as const, credentialId: row.id };
  return row.type === 'oauth2' ? { ...reply, revokedUpstream: revokedUpstream ?? null } : reply;
};
// Before the transaction: a provider that is slow must not hold it.
remove.prepare = async ({ params }, { parts, principal }) => {
  const scope = { account: principal.accountId, user: managedUser(principal) };
  const answer = await revokeGrant(parts, scope, params.credentialId);
  if (answer !== undefined) revoked.set(params, answer);
};

export const credentialHandlers = { create, connect, ticket, list, get, update, delete: remove } satisfies {
  [M in keyof Routes]: Handler<Routes[M]>;
};
