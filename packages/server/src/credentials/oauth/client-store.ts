// Our clients at the authorization servers of connectors, where they are kept: configured by the operator (issuer '') or registered by
// ourselves. A client's secret is sealed under the state key, bound to account, connector and issuer; it belongs to no user.
import { and, eq, sql } from 'drizzle-orm';
import type { Keyring } from '../../crypto/keyring.ts';
import { oauthClients } from '../../db/schema-connect.ts';
import type { Db } from '../../db/scope.ts';

export interface OAuthClient {
  accountId: string;
  connectorId: string;
  /** The authorization server where we registered; absent: the operator's own client. */
  issuer?: string;
  clientId: string;
  clientSecret?: string | undefined;
  /** When a registered client ends, if its server said so. */
  expiresAt?: Date | null;
}

const placeOf = ({ accountId, connectorId, issuer = '', clientId }: OAuthClient): string[] => [
  'oauth-client',
  accountId,
  connectorId,
  issuer,
  clientId,
];

/** Stores the client of a connector and issuer in place of an earlier one. */
export async function saveOAuthClient(tx: Db, keyring: Keyring, client: OAuthClient): Promise<void> {
  const { accountId, connectorId, issuer = '', clientId, clientSecret, expiresAt = null } = client;
  const sealed =
    clientSecret === undefined ? null : keyring.sealState(Buffer.from(clientSecret, 'utf8'), ...placeOf(client));
  const values = { clientId, sealed, expiresAt };
  await tx
    .insert(oauthClients)
    .values({ accountId, connectorId, issuer, ...values })
    .onConflictDoUpdate({
      target: [oauthClients.accountId, oauthClients.connectorId, oauthClients.issuer],
      set: { ...values, createdAt: sql`now()` },
    });
}

/** The client with its secret opened; undefined when there is none or its time is over. */
export async function findOAuthClient(
  tx: Db,
  keyring: Keyring,
  place: { accountId: string; connectorId: string; issuer?: string },
): Promise<OAuthClient | undefined> {
  const { accountId, connectorId, issuer = '' } = place;
  const [row] = await tx
    .select()
    .from(oauthClients)
    .where(
      and(
        eq(oauthClients.accountId, accountId),
        eq(oauthClients.connectorId, connectorId),
        eq(oauthClients.issuer, issuer),
        sql`(${oauthClients.expiresAt} is null or ${oauthClients.expiresAt} > now())`,
      ),
    );
  if (row === undefined) return undefined;
  const client: OAuthClient = { accountId, connectorId, issuer, clientId: row.clientId };
  if (row.sealed === null) return client;
  return { ...client, clientSecret: keyring.openState(row.sealed, ...placeOf(client)).toString('utf8') };
}
