// Pure: which credential a call uses. Explicit argument, then header, then the user's default, then the only one; a shared one only for who has
// none of their own, where the connector allows that. A credential of somebody else, of another connector, or one that does not exist are all
// the same answer: none. A missing or dead credential never becomes an anonymous or shared call.
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
  /** `credential`: the one that is still to be filled, where there is one. */
  | { kind: 'missing'; credential?: CredentialRecord }
  | { kind: 'reauth'; credential: CredentialRecord };

/** The default one, else the only one. */
const preferred = (some: readonly CredentialRecord[]): CredentialRecord | undefined =>
  some.find((credential) => credential.isDefault) ?? (some.length === 1 ? some[0] : undefined);

/** `own` are the user's credentials, `shared` those that the account shares; of any connector. */
export function resolveCredential(
  connector: ConnectorRecord,
  own: readonly CredentialRecord[],
  shared: readonly CredentialRecord[],
  wish: CredentialWish,
): CredentialChoice {
  const of = (some: readonly CredentialRecord[]) => some.filter(({ connectorId }) => connectorId === connector.id);
  const mine = of(own);
  const lent = connector.allowShared ? of(shared).filter((credential) => credential.shared) : [];
  // A link that was given out leaves an empty one behind: until something is in it the user has none.
  const hasNone = mine.every(({ status, secrets }) => status === 'pending' && secrets.length === 0);
  const wished = wish.argument ?? wish.header;
  const chosen =
    wished === undefined
      ? ((hasNone ? preferred(lent) : undefined) ?? preferred(mine))
      : [...mine, ...lent].find((credential) => credential.id === wished);
  const required = connector.requiredSecrets;
  if (chosen === undefined) {
    const needsNone = wished === undefined && mine.length === 0 && lent.length === 0 && required.length === 0;
    return needsNone ? { kind: 'none' } : { kind: 'missing' };
  }
  // Nothing is in it yet: a call with it would be an anonymous one.
  if (chosen.status === 'pending') return { kind: 'missing', credential: chosen };
  if (chosen.status === 'reauth_required') return { kind: 'reauth', credential: chosen };
  const names = new Set(chosen.secrets.map((secret) => secret.name));
  return required.every((name) => names.has(name))
    ? { kind: 'use', credential: chosen }
    : { kind: 'missing', credential: chosen };
}
