// Pure: which credential a call uses. Explicit argument, then header, then the user's default, then the only one; a shared one only for who has
// none of their own, where the connector allows that: one that is shared with a group of the user before one of the whole account. A credential
// of somebody else, of another connector, or one that does not exist are all the same answer: none. A missing or dead credential never becomes
// an anonymous or shared call.
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';

export interface CredentialWish {
  /** `credentialId` argument of the tool. */
  argument?: string | undefined;
  /** `x-credential-id`. */
  header?: string | undefined;
}
/** What made it this one. */
export type ChosenBy = 'argument' | 'default' | 'only' | 'group' | 'shared';
export type CredentialChoice =
  | { kind: 'use'; credential: CredentialRecord; by: ChosenBy }
  /** The connector needs none and the user has none. */
  | { kind: 'none' }
  /** `credential`: the one that is still to be filled, where there is one. */
  | { kind: 'missing'; credential?: CredentialRecord }
  | { kind: 'reauth'; credential: CredentialRecord };

/** The default one, else the only one. */
const preferred = (some: readonly CredentialRecord[]): CredentialRecord | undefined =>
  some.find((credential) => credential.isDefault) ?? (some.length === 1 ? some[0] : undefined);

/** Whether somebody else's credential is lent to members of these groups. Shared with groups of which none is left, it is shared with nobody. */
export const isLentTo = (
  { shared, groupIds }: Pick<CredentialRecord, 'shared' | 'groupIds'>,
  groups: readonly { id: string }[],
): boolean => shared && (groupIds === null || groups.some(({ id }) => groupIds.includes(id)));

/** `own` are the user's credentials, `shared` those that the account or some group shares; of any connector. */
export function resolveCredential(
  connector: ConnectorRecord,
  own: readonly CredentialRecord[],
  shared: readonly CredentialRecord[],
  wish: CredentialWish,
  groups: readonly { id: string }[],
): CredentialChoice {
  const of = (some: readonly CredentialRecord[]) => some.filter(({ connectorId }) => connectorId === connector.id);
  const mine = of(own);
  const lent = connector.allowShared ? of(shared).filter((credential) => isLentTo(credential, groups)) : [];
  // A link that was given out leaves an empty one behind: until something is in it the user has none.
  const hasNone = mine.every(({ status, secrets }) => status === 'pending' && secrets.length === 0);
  const wished = wish.argument ?? wish.header;
  const ofGroups = lent.filter(({ groupIds }) => groupIds !== null);
  const borrowed = ofGroups.length > 0 ? ofGroups : lent;
  const chosen =
    wished === undefined
      ? ((hasNone ? preferred(borrowed) : undefined) ?? preferred(mine))
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
  if (!required.every((name) => names.has(name))) return { kind: 'missing', credential: chosen };
  const isMine = mine.includes(chosen);
  const by = isMine ? (chosen.isDefault ? 'default' : 'only') : chosen.groupIds === null ? 'shared' : 'group';
  return { kind: 'use', credential: chosen, by: wished === undefined ? by : 'argument' };
}
