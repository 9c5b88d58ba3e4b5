// Reads the configuration of an account from the database, in the form that a file has. Writes nothing. What cannot be in a file is told.
import { and, asc, eq, isNotNull, isNull } from 'drizzle-orm';
import type { AccountRow } from '../accounts/store.ts';
import { type ConnectorRow, definitionOf } from '../connectors/store.ts';
import { connectors, servers } from '../db/schema.ts';
import { connectorDocuments } from '../db/schema-connect.ts';
import { groups, issuers, limitRules } from '../db/schema-identity.ts';
import type { Db } from '../db/scope.ts';
import { findSettings } from '../settings/store.ts';
import type {
  AccountConfig,
  ConnectorConfig,
  Filled,
  GroupConfig,
  IssuerConfig,
  LimitConfig,
  ServerConfig,
} from './document.ts';

export interface AccountState {
  config: Filled<AccountConfig>;
  /** Sentences about what the account has and a file cannot hold. */
  notes: string[];
}

/** In the scope of the account. Ordered by name, so that two files of one state are equal. */
export async function readAccount(tx: Db, account: AccountRow): Promise<AccountState> {
  const { id, name, enabled, callsPerMinute } = account;
  const documents = await tx.select().from(connectorDocuments).where(eq(connectorDocuments.accountId, id));
  const compiled = new Map(documents.map((row) => [row.connectorId, Buffer.from(row.document).toString('base64')]));
  const connectorRows = await tx
    .select()
    .from(connectors)
    .where(eq(connectors.accountId, id))
    .orderBy(asc(connectors.id));
  const groupRows = await tx.select().from(groups).where(eq(groups.accountId, id)).orderBy(asc(groups.name));
  const serverRows = await tx.select().from(servers).where(eq(servers.accountId, id)).orderBy(asc(servers.name));
  const ourLimits = eq(limitRules.accountId, id);
  const limitRows = await tx
    .select()
    .from(limitRules)
    .where(and(ourLimits, isNull(limitRules.userId)))
    .orderBy(asc(limitRules.createdAt), asc(limitRules.id));
  const limitsOfUsers = await tx.$count(limitRules, and(ourLimits, isNotNull(limitRules.userId)));
  const issuerRows = await tx.select().from(issuers).where(eq(issuers.accountId, id)).orderBy(asc(issuers.name));
  const settings = await findSettings(tx, id);
  const withSecret = connectorRows.filter((row) => definitionOf(row).oauth?.hasClientSecret === true);
  return {
    config: {
      name,
      enabled,
      callsPerMinute,
      redirectUris: settings?.redirectUris ?? [],
      connectors: connectorRows.map((row) => connectorConfig(row, compiled.get(row.id))),
      groups: groupRows.map(groupConfig),
      servers: serverRows.map(serverConfig),
      limits: limitRows.map(limitConfig),
      issuers: issuerRows.filter((row) => row.secret === null).map(issuerConfig),
    },
    notes: [
      ...withSecret.map((row) => `${name}: the OAuth client secret of connector ${row.id} is not here`),
      ...issuerRows
        .filter((row) => row.secret !== null)
        .map((row) => `${name}: issuer ${row.name} has a secret and is not here`),
      ...(settings?.webhookUrl ? [`${name}: the webhook has a signing key and is not here`] : []),
      ...(limitsOfUsers > 0 ? [`${name}: limits of single users are not here (${limitsOfUsers})`] : []),
    ],
  };
}

function connectorConfig(row: ConnectorRow, compiled: string | undefined): ConnectorConfig {
  const { config, oauth, inject, ...common } = definitionOf(row);
  const { openapi, ...ofKind } = config;
  const { hasClientSecret: _, ...settings } = oauth ?? { hasClientSecret: false };
  return {
    connectorId: row.id,
    ...common,
    inject,
    ...ofKind,
    ...(row.kind !== 'mcp-stdio' && { oauth: oauth === null ? null : settings }),
    ...(compiled !== undefined && { document: { compiled, warnings: openapi?.warnings ?? [] } }),
  };
}

function groupConfig(row: typeof groups.$inferSelect): GroupConfig {
  const { id, name, description, allowed, blocked, permissions } = row;
  return { groupId: id, name, description, access: { allowed, blocked, permissions } };
}

function serverConfig(row: typeof servers.$inferSelect): ServerConfig {
  const { id, accountId: _, ownerUserId: __, version: ___, createdAt: ____, updatedAt: _____, ...fields } = row;
  return { serverId: id, ...fields };
}

function limitConfig(row: typeof limitRules.$inferSelect): LimitConfig {
  const { id, groupId, serverId, connectorId, action, max, windowSeconds, shared } = row;
  return { limitId: id, groupId, serverId, connectorId, action, max, window: windowSeconds ?? 'day', shared };
}

function issuerConfig({ id, name, issuer, config, enabled }: typeof issuers.$inferSelect): IssuerConfig {
  return { issuerId: id, name, issuer: issuer ?? '', config: config as IssuerConfig['config'], enabled };
}
