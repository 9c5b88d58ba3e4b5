// Who the caller is, proven by exactly one credential. Pure types and predicates: no I/O.
import type { KeyKind } from '@mcp-valet/shared';

export interface Principal {
  kind: KeyKind;
  accountId: string;
  keyId: string;
  /** The key's own user; always set for `std`. For `url` the user who owns the server, if any. */
  userId: string | null;
  /** The one server that a `url` token opens. */
  serverId: string | null;
  /** Whether calls with this credential may name another user of the account. */
  mayActForUsers: boolean;
  /** The text form of the key's id in logs and audit rows; never the token. */
  expiresAt: Date | null;
}

/** Whose rows this principal may manage: every user of its account, or its own only. */
export function managedUser(principal: Principal): string {
  switch (principal.kind) {
    case 'adm':
    case 'ent':
      return '*';
    case 'std':
    case 'url':
      if (principal.userId === null) throw new Error('a key of this kind always has a user');
      return principal.userId;
    default:
      throw new Error(`unknown key kind ${String(principal.kind satisfies never)}`);
  }
}

/** Order of strength: a key mints only weaker kinds than its own. */
const strength: Record<KeyKind, number> = { adm: 4, ent: 3, std: 2, url: 1 };
export const mayMint = (own: KeyKind, wanted: KeyKind): boolean => strength[own] > strength[wanted];
