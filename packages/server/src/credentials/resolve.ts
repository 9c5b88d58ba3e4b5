// Pure: which credential a call uses. Explicit argument, then header, then the user's default, then the only one. A credential of somebody
// else, of another connector, or one that does not exist are all the same answer: none. A missing credential never becomes an anonymous
// or shared call.
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';

export interface CredentialWish {
  /** `credentialId` argument of the tool. */
  argument?: string | undefined;
  /** `x-credential-id`. */
  header?: string | undefined;
}
export type CredentialChoice =
  | { kind: 'use'; credential: CredentialRecord }
  /** The connector needs none and the user has none. */
  | { kind: 'none' }
  | { kind: 'missing' }
  | { kind: 'reauth'; credential: CredentialRecord };

export function resolveCredential(
  connector: ConnectorRecord,
  credentials: readonly CredentialRecord[],
  wish: CredentialWish,
): CredentialChoice {
  const own = credentials.filter((credential) => credential.connectorId === connector.id);
  const wished = wish.argument ?? wish.header;
  const chosen =
    wished === undefined
      ? (own.find((credential) => credential.isDefault) ?? (own.length === 1 ? own[0] : undefined))
      : own.find((credential) => credential.id === wished);
  const required = connector.requiredSecrets;
  if (chosen === undefined)
    return wished === undefined && own.length === 0 && required.length === 0 ? { kind: 'none' } : { kind: 'missing' };
  // Nothing is in it yet: a call with it would be an anonymous one.
  if (chosen.status === 'pending') return { kind: 'missing' };
  if (chosen.status === 'reauth_required') return { kind: 'reauth', credential: chosen };
  const names = new Set(chosen.secrets.map((secret) => secret.name));
  return required.every((name) => names.has(name)) ? { kind: 'use', credential: chosen } : { kind: 'missing' };
}
