// ISO-3: every combination of credential kind, source and policy against a model of the contract's table; the effective user is the
// model's in every case, and so is the refusal.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Directory } from '../../packages/server/src/identity/directory.ts';
import { attemptedText, effectiveUser } from '../../packages/server/src/identity/effective-user.ts';
import type { Principal } from '../../packages/server/src/identity/principal.ts';
import type { UserRecord } from '../../packages/server/src/identity/records.ts';
import { Refusal } from '../../packages/server/src/refusal.ts';
import { holdsAsync } from '../support/holds.ts';

const row = (accountId: string, id: string, username: string, enabled = true): UserRecord => ({
  id,
  accountId,
  username,
  enabled,
  allowed: [],
  blocked: [],
  permissions: [],
  groups: [],
  tokensNotBefore: null,
});
const users = [
  row('acc', 'usr_default', 'default'),
  row('acc', 'usr_alice', 'alice'),
  row('acc', 'usr_upper', 'Alice'),
  row('acc', 'usr_bob', 'bob'),
  row('acc', 'usr_off', 'off', false),
  row('other', 'usr_eve', 'eve'),
  row('other', 'usr_default2', 'default'),
];

const asked: string[] = [];
const directory = {
  user: async (accountId: string, ref: string) => {
    asked.push(ref);
    return users.find((user) => user.accountId === accountId && (user.username === ref || user.id === ref));
  },
} as Partial<Directory> as Directory;

const malformed = [
  '',
  ' ',
  'alice,bob',
  'alice, alice',
  ' alice',
  'alice ',
  'alic\u00e9',
  '\u0430lice',
  'alice\u0000',
  'alice\n',
  '-alice',
  'a'.repeat(129),
  'alice'.repeat(1_640),
  '\ud800',
  '%61lice',
];
const named = [
  'alice',
  'usr_alice',
  'Alice',
  'ALICE',
  'bob',
  'usr_bob',
  'off',
  'usr_off',
  'eve',
  'usr_eve',
  'default',
  'usr_default',
  'usr_nobody',
  'nobody',
  'usr_',
  'constructor',
  '__proto__',
  ...malformed,
];

interface Case {
  principal: Principal;
  header: string | undefined;
  body: string | undefined;
  onUnknownUser: 'reject' | 'fallback';
  strict: boolean;
}
const base = {
  accountId: 'acc',
  keyId: 'key',
  serverId: null,
  expiresAt: null,
  scopes: null,
  allowedUsers: null,
  delegation: null,
  proof: null,
};
const principals: Principal[] = [
  { ...base, kind: 'adm', userId: null, mayActForUsers: true },
  { ...base, kind: 'ent', userId: null, mayActForUsers: true },
  { ...base, kind: 'ent', userId: 'usr_bob', mayActForUsers: true },
  { ...base, kind: 'std', userId: 'usr_alice', mayActForUsers: false },
  { ...base, kind: 'std', userId: 'usr_off', mayActForUsers: false },
  { ...base, kind: 'std', userId: 'usr_gone', mayActForUsers: false },
  { ...base, kind: 'url', userId: 'usr_alice', serverId: 'srv', mayActForUsers: true },
  { ...base, kind: 'url', userId: 'usr_alice', serverId: 'srv', mayActForUsers: false },
  { ...base, kind: 'url', userId: null, serverId: 'srv', mayActForUsers: true },
  { ...base, kind: 'std', accountId: 'other', userId: 'usr_eve', mayActForUsers: false },
];
const source = fc.option(fc.constantFrom(...named), { nil: undefined, freq: 3 });
const anyCase: fc.Arbitrary<Case> = fc
  .record({
    principal: fc.constantFrom(...principals),
    header: source,
    body: source,
    same: fc.boolean(),
    onUnknownUser: fc.constantFrom('reject' as const, 'fallback' as const),
    strict: fc.boolean(),
  })
  .map(({ same, ...rest }) => (same && rest.body !== undefined ? { ...rest, body: rest.header } : rest));

/** The contract's table as text: `runs <id>[ fallback]` or the code of the refusal. */
function model({ principal, header, body, onUnknownUser, strict }: Case): string {
  const grammar = /^[A-Za-z0-9][A-Za-z0-9._:@+|-]{0,127}$/;
  const lookUp = (name: string): UserRecord | undefined =>
    name.length <= 128 && !name.includes('\n') && grammar.test(name)
      ? users
          .filter((user) => user.accountId === principal.accountId)
          .find((user) => [user.id, user.username].includes(name))
      : undefined;
  const runs = (user: UserRecord | undefined, how = '') =>
    user === undefined ? 'USER_NOT_FOUND' : user.enabled ? `runs ${user.id}${how}` : 'USER_DISABLED';
  const mentions = [header, body].filter((name) => name !== undefined);
  const own = principal.mayActForUsers || principal.userId === null ? 'default' : principal.userId;

  if (mentions.length === 2 && mentions[0] !== mentions[1]) {
    const [a, b] = mentions.map(lookUp);
    if (a === undefined || b === undefined || a !== b) return 'INVALID_REQUEST';
  }
  const [name] = mentions;
  if (name === undefined) return runs(lookUp(own));
  const user = lookUp(name);
  if (!principal.mayActForUsers) {
    const self = runs(lookUp(own));
    return !self.startsWith('runs') || user?.id === principal.userId ? self : 'FORBIDDEN';
  }
  if (user === undefined && onUnknownUser === 'fallback' && !strict) return runs(lookUp('default'), ' fallback');
  return runs(user);
}

describe('the effective user', () => {
  it('is the one of the model, or the refusal of the model, in every combination', async () => {
    const outcomes = new Map<string, number>();
    await holdsAsync(
      fc.asyncProperty(anyCase, async (given) => {
        const { principal, header, body, onUnknownUser, strict } = given;
        asked.length = 0;
        const outcome = await effectiveUser(principal, { header, body }, { onUnknownUser, strict }, directory).then(
          ({ record, attempted, fallback }) => {
            if (record.accountId !== principal.accountId) return 'a user of another account';
            const name = header ?? body;
            if (attempted !== (name === undefined ? null : attemptedText(name))) return 'another attempt';
            if (fallback !== null && fallback.attempted !== attempted) return 'another fallback';
            return `runs ${record.id}${fallback === null ? '' : ' fallback'}`;
          },
          (error: unknown) => (error instanceof Refusal ? error.code : 'threw'),
        );
        // Text that no user can have is never looked up.
        if (asked.some((ref) => malformed.includes(ref))) return false;
        const kind = outcome.replace(/ usr_\w+/, '');
        outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
        return outcome === model(given);
      }),
      3_000,
    );
    const kinds = ['FORBIDDEN', 'INVALID_REQUEST', 'USER_DISABLED', 'USER_NOT_FOUND', 'runs', 'runs fallback'];
    expect([...outcomes.keys()].sort()).toEqual(kinds);
    for (const count of outcomes.values()) expect(count).toBeGreaterThan(30);
  });

  it('tells a user of another account and an unknown one in the same words', async () => {
    const principal = principals[1] as Principal;
    const refusals = await Promise.all(
      ['eve', 'usr_eve', 'nobody', 'usr_nobody', 'a b'].map((header) =>
        effectiveUser(principal, { header }, { onUnknownUser: 'reject', strict: false }, directory).catch(
          (error: unknown) => ({ ...(error as Refusal), message: (error as Refusal).message }),
        ),
      ),
    );
    expect(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size).toBe(1);
  });

  it('hides from a caller who may name nobody whether the named user exists', async () => {
    const principal = principals[3] as Principal;
    const refusals = await Promise.all(
      ['bob', 'off', 'nobody', 'eve', ''].map((header) =>
        effectiveUser(principal, { header }, { onUnknownUser: 'fallback', strict: false }, directory).catch(
          (error: unknown) => ({ ...(error as Refusal), message: (error as Refusal).message }),
        ),
      ),
    );
    expect(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size).toBe(1);
  });
});
