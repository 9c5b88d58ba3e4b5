// Whose identity a call runs with, by the contract's examples. All combinations against a model stand in test/unit.
import { isStorableText } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import type { Directory } from './directory.ts';
import { attemptedText, effectiveUser, type UserPolicy, type UserSources } from './effective-user.ts';
import type { Principal } from './principal.ts';
import type { UserRecord } from './records.ts';

const userOf = (id: string, username: string, enabled = true): UserRecord => ({
  id,
  accountId: 'acc',
  username,
  enabled,
  allowed: [],
  blocked: [],
  permissions: [],
  groups: [],
  tokensNotBefore: null,
});
const users = [userOf('usr_d', 'default'), userOf('usr_a', 'alice'), userOf('usr_b', 'bob', false)];
const directory = {
  user: async (accountId: string, ref: string) =>
    users.find((user) => user.accountId === accountId && (user.username === ref || user.id === ref)),
} as Partial<Directory> as Directory;

const principal = (more: Partial<Principal>): Principal => ({
  kind: 'std',
  accountId: 'acc',
  keyId: 'key',
  userId: 'usr_a',
  serverId: null,
  mayActForUsers: false,
  expiresAt: null,
  scopes: null,
  allowedUsers: null,
  delegation: null,
  proof: null,
  ...more,
});
const enterprise = principal({ kind: 'ent', userId: null, mayActForUsers: true });
const resolve = (who: Principal, sources: UserSources, policy: Partial<UserPolicy> = {}) =>
  effectiveUser(who, sources, { onUnknownUser: 'reject', strict: false, ...policy }, directory);

describe('nobody named', () => {
  it('is the own user of a standard key and default for an enterprise key, whoever minted it', async () => {
    expect(await resolve(principal({}), {})).toMatchObject({
      record: { username: 'alice' },
      attempted: null,
      fallback: null,
    });
    expect(await resolve(enterprise, {})).toMatchObject({ record: { username: 'default' } });
    expect(await resolve({ ...enterprise, userId: 'usr_a' }, {})).toMatchObject({ record: { username: 'default' } });
  });

  it('is refused when the own user is gone or disabled', async () => {
    await expect(resolve(principal({ userId: 'usr_gone' }), {})).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await expect(resolve(principal({ userId: 'usr_b' }), {})).rejects.toMatchObject({
      code: 'USER_DISABLED',
      status: 403,
    });
  });
});

describe('a user token beside a key', () => {
  const proof = {
    issuerId: 'iss',
    subject: 's',
    tokenId: null,
    userId: 'usr_a',
    claims: {},
    scopes: [],
    expiresAt: null,
  };
  const both = { ...enterprise, proof };

  it('says whose call it is, and a name beside it can only agree', async () => {
    for (const sources of [{}, { header: 'alice' }, { body: 'usr_a' }, { header: 'usr_a', body: 'alice' }])
      expect(await resolve(both, sources)).toMatchObject({ record: { username: 'alice' }, fallback: null });
    for (const name of ['default', 'bob', 'nobody', ''])
      for (const sources of [{ header: name }, { body: name }])
        await expect(resolve(both, sources, { onUnknownUser: 'fallback' })).rejects.toMatchObject({
          code: 'FORBIDDEN',
          reason: 'override_not_allowed',
        });
  });

  it('of another user than the key is of is refused', async () => {
    const own = principal({ userId: 'usr_d' });
    await expect(resolve({ ...own, proof }, {})).rejects.toMatchObject({ reason: 'override_not_allowed' });
    expect(await resolve({ ...principal({}), proof }, {})).toMatchObject({ record: { username: 'alice' } });
  });
});

describe('a key that is kept to some users', () => {
  const narrow = { ...enterprise, allowedUsers: ['usr_a', 'usr_b'] };

  it('acts for those on its list and for nobody else, default included', async () => {
    expect(await resolve(narrow, { header: 'alice' })).toMatchObject({ record: { username: 'alice' } });
    for (const sources of [{}, { header: 'default' }])
      await expect(resolve(narrow, sources)).rejects.toMatchObject({ code: 'FORBIDDEN', reason: 'user_not_on_key' });
    await expect(resolve(narrow, { header: 'nobody' }, { onUnknownUser: 'fallback' })).rejects.toMatchObject({
      reason: 'user_not_on_key',
    });
    await expect(resolve({ ...enterprise, allowedUsers: [] }, { header: 'alice' })).rejects.toMatchObject({
      reason: 'user_not_on_key',
    });
  });

  it('says of unknown and disabled users what every key says', async () => {
    await expect(resolve(narrow, { header: 'nobody' })).rejects.toMatchObject({ code: 'USER_NOT_FOUND' });
    await expect(resolve(narrow, { header: 'bob' })).rejects.toMatchObject({ code: 'USER_DISABLED' });
  });

  it('is kept to them by a user token too', async () => {
    const proof = {
      issuerId: 'iss',
      subject: 's',
      tokenId: null,
      userId: 'usr_d',
      claims: {},
      scopes: [],
      expiresAt: null,
    };
    await expect(resolve({ ...narrow, proof }, {})).rejects.toMatchObject({ reason: 'user_not_on_key' });
    expect(await resolve({ ...narrow, proof: { ...proof, userId: 'usr_a' } }, {})).toMatchObject({
      record: { username: 'alice' },
    });
  });
});

describe('a fallback', () => {
  it('runs as default and says so in the exact words', async () => {
    expect(await resolve(enterprise, { header: 'nobody' }, { onUnknownUser: 'fallback' })).toMatchObject({
      record: { username: 'default' },
      attempted: 'nobody',
      fallback: { warning: 'Invalid x-alloy-userid header', attempted: 'nobody', fallback: 'default' },
    });
  });

  it('never covers a disabled user, nor a caller who may name nobody, nor a strict request', async () => {
    const policy = { onUnknownUser: 'fallback' } as const;
    await expect(resolve(enterprise, { header: 'bob' }, policy)).rejects.toMatchObject({ code: 'USER_DISABLED' });
    await expect(resolve(principal({}), { header: 'nobody' }, policy)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(resolve(enterprise, { header: 'nobody' }, { ...policy, strict: true })).rejects.toMatchObject({
      code: 'USER_NOT_FOUND',
    });
  });
});

describe('attemptedText', () => {
  it('is fit for a trail: at most 128 characters of the text, no control characters, no halves', () => {
    expect(attemptedText('a\u0000b\r\n\u007f\u0085\u2028')).toBe('a\\u0000b\\u000d\\u000a\\u007f\\u0085\\u2028');
    expect(attemptedText('x'.repeat(8_192))).toBe('x'.repeat(128));
    const cut = attemptedText(`${'x'.repeat(127)}😀`);
    expect(cut).toBe(`${'x'.repeat(127)}\\ud83d`);
    expect(isStorableText(cut)).toBe(true);
    expect(attemptedText('😀')).toBe('😀');
  });
});
