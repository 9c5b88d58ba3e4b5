// Who may manage whose rows, and which key may mint which.
import type { KeyKind } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { managedUser, mayMint, type Principal, type PrincipalKind } from './principal.ts';

const of = (kind: PrincipalKind, userId: string | null): Principal => ({
  kind,
  accountId: 'acc',
  keyId: 'key',
  userId,
  serverId: null,
  mayActForUsers: false,
  expiresAt: null,
  scopes: null,
  allowedUsers: null,
  delegation: null,
  proof: null,
});

describe('managedUser', () => {
  it('is everybody for admin and enterprise keys, also when a user owns them', () => {
    for (const kind of ['adm', 'ent'] as const) {
      expect(managedUser(of(kind, null))).toBe('*');
      expect(managedUser(of(kind, 'usr_1'))).toBe('*');
    }
  });

  it('is the own user for every other kind, and never everybody', () => {
    for (const kind of ['std', 'url', 'usr', 'jwt'] as const) {
      expect(managedUser(of(kind, 'usr_1'))).toBe('usr_1');
      expect(() => managedUser(of(kind, null))).toThrow();
    }
    expect(() => managedUser(of('new' as KeyKind, 'usr_1'))).toThrow('unknown key kind');
  });
});

describe('mayMint', () => {
  it('allows weaker kinds only, never the own one', () => {
    const kinds: KeyKind[] = ['adm', 'ent', 'std', 'url'];
    const pairs = kinds.flatMap((own) =>
      kinds.filter((wanted) => mayMint(own, wanted)).map((wanted) => `${own}>${wanted}`),
    );
    expect(pairs).toEqual(['adm>ent', 'adm>std', 'adm>url', 'ent>std', 'ent>url', 'std>url']);
  });
});
