// Named secrets in the seed system's form: set, delete, list. A connector is called `serverName` there. Values never leave again.
import type { Contract, SecretInfo } from '@mcp-valet/shared';
import { getConnector } from '../connectors/store.ts';
import type { Ctx, Handler } from '../context.ts';
import { notFound } from '../refusal.ts';
import { getNamedUser } from '../users/store.ts';
import { deleteSecret, listSecrets, refuseReserved, type SecretOwner, type SecretRow, setSecret } from './store.ts';

type Routes = Contract['secrets'];

const shown = (row: SecretRow): SecretInfo => ({
  name: row.name,
  version: row.version,
  updatedAt: row.updatedAt.toISOString(),
  fingerprint: row.fingerprint,
});

/** The user first: a key that may not act for somebody learns nothing about connectors by asking on their behalf. */
async function ownerOf(ctx: Ctx, named: { username?: string | undefined; serverName: string }): Promise<SecretOwner> {
  const user = await getNamedUser(ctx, ctx.db, named.username);
  const connector = await getConnector(ctx.db, user.accountId, named.serverName, 'server_not_found');
  return { accountId: user.accountId, userId: user.id, connectorId: connector.id };
}

const set: Handler<Routes['set']> = async ({ body }, ctx) => {
  ctx.note({ target: `${body.serverName}/${body.secretName}` });
  const owner = await ownerOf(ctx, body);
  const { secret, credentialId } = await setSecret(ctx.db, ctx.parts.vault, owner, body.secretName, body.secretValue);
  ctx.note({
    target: `${body.serverName}/${body.secretName}`,
    userId: owner.userId,
    details: { credential: credentialId, version: secret.version, fingerprint: secret.fingerprint },
  });
  ctx.changed(`user:${owner.userId}`);
  return { success: true, secret: shown(secret) };
};

const remove: Handler<Routes['delete']> = async ({ body }, ctx) => {
  ctx.note({ target: `${body.serverName}/${body.secretName}` });
  const owner = await ownerOf(ctx, body);
  refuseReserved({ [body.secretName]: true });
  ctx.note({ target: `${body.serverName}/${body.secretName}`, userId: owner.userId });
  if (!(await deleteSecret(ctx.db, owner, body.secretName))) throw notFound('Secret', 'secret_not_found');
  ctx.changed(`user:${owner.userId}`);
  return { success: true };
};

const list: Handler<Routes['list']> = async ({ query }, ctx) => {
  const owner = await ownerOf(ctx, query);
  return { success: true, secrets: (await listSecrets(ctx.db, owner)).map(shown) };
};

export const secretHandlers = { set, delete: remove, list } satisfies { [M in keyof Routes]: Handler<Routes[M]> };
