// Who a user token may be of, before anybody is known: the issuers of its name, and whose account a server's URL is. Scope set inside
// (migration 0009). Only encodes and decodes.
import { type Database, internalsOf } from './client.ts';

export interface FoundIssuer {
  id: string;
  accountId: string;
  accountEnabled: boolean;
  name: string;
  type: 'jwt' | 'webhook';
  /** The exact `iss`; null for session verifiers. */
  issuer: string | null;
  config: Readonly<Record<string, unknown>>;
  /** Sealed. */
  secret: Uint8Array | null;
  enabled: boolean;
}

/** Issuers of this exact name in every account. */
export async function findIssuers(db: Database, iss: string): Promise<FoundIssuer[]> {
  const rows = await internalsOf(db).driver.call('select * from valet_find_issuers($1)', [iss]);
  return rows.map((row) => ({
    id: row.id as string,
    accountId: row.account_id as string,
    accountEnabled: row.account_enabled === true,
    name: row.name as string,
    type: row.type as FoundIssuer['type'],
    issuer: row.issuer as string | null,
    config: row.config as Record<string, unknown>,
    secret: (row.secret as Uint8Array | null) ?? null,
    enabled: row.enabled === true,
  }));
}

/** The account of a server; undefined when there is no such server. */
export async function findServerAccount(
  db: Database,
  serverId: string,
): Promise<{ accountId: string; accountEnabled: boolean } | undefined> {
  const [row] = await internalsOf(db).driver.call('select * from valet_find_server_account($1)', [serverId]);
  return row && { accountId: row.account_id as string, accountEnabled: row.account_enabled === true };
}
