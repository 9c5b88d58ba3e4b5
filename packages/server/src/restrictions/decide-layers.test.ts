// The layers above the server's, each by itself: user, groups, key, requirements; and the decision step by step.
import type { Permission, Requirement } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import {
  type AccessRules,
  decide,
  decideEntry,
  decideStepwise,
  type KeyRules,
  type Rules,
  type UserRules,
} from './decide.ts';

const alice: UserRules = { id: 'usr_1', username: 'alice', allowed: [], blocked: [], permissions: [] };
const key: KeyRules = { id: 'key_1', mayCall: true, servers: null, permissions: null };
const rest = { groups: [], key, caller: { scopes: [], claims: null } };

const wanted = (connector: string, action?: string, requires: Requirement[] | null = null) => ({
  connector,
  action,
  requires,
});
const answer = (rules: Rules, target: ReturnType<typeof wanted>) => {
  const decision = decide(rules, target);
  return decision.allowed ? 'allowed' : decision.reason;
};
const group = (id: string, more: Partial<AccessRules>): AccessRules => ({
  id,
  allowed: [],
  blocked: [],
  permissions: [],
  ...more,
});
const allow = (connector: string, ...actions: string[]): Permission => ({ connector, mode: 'allow', actions });
const block = (connector: string, ...actions: string[]): Permission => ({ connector, mode: 'block', actions });

describe('the user’s layer', () => {
  const may = (user: Partial<UserRules>, connector: string, action?: string) =>
    answer({ ...rest, server: null, user: { ...alice, ...user } }, wanted(connector, action));

  it('goes down to actions: connectors of the lists with all of theirs, permissions with what they name', () => {
    const user = { allowed: ['slack'], permissions: [allow('github', 'read_*')] };
    expect(may(user, 'slack', 'anything')).toBe('allowed');
    expect(may(user, 'github', 'read_file')).toBe('allowed');
    expect(may(user, 'github', 'write_file')).toBe('action_not_for_user');
    expect(may(user, 'github')).toBe('allowed');
    expect(may(user, 'jira', 'x')).toBe('connector_not_for_user');
  });

  it('lets a block win over every allow of it', () => {
    const user = { allowed: ['slack'], permissions: [block('slack', 'delete_*'), allow('slack', 'delete_draft')] };
    expect(may(user, 'slack', 'delete_draft')).toBe('action_not_for_user');
    expect(may(user, 'slack', 'send')).toBe('allowed');
    expect(may({ blocked: ['slack'], permissions: [allow('slack', '*')] }, 'slack', 'x')).toBe(
      'connector_not_for_user',
    );
  });

  it('stays open where nothing is allowed and something is blocked', () => {
    expect(may({ permissions: [block('slack', 'send')] }, 'slack', 'read')).toBe('allowed');
    expect(may({ permissions: [block('slack', '*')] }, 'slack')).toBe('connector_not_for_user');
  });
});

describe('the layer of groups', () => {
  const may = (groups: AccessRules[], connector: string, action?: string) =>
    answer({ ...rest, server: null, user: alice, groups }, wanted(connector, action));

  it('adds up what they allow, and closes the rest as soon as one of them allows anything', () => {
    const groups = [group('g1', { allowed: ['slack'] }), group('g2', { permissions: [allow('github', 'read')] })];
    expect(may(groups, 'slack', 'x')).toBe('allowed');
    expect(may(groups, 'github', 'read')).toBe('allowed');
    expect(may(groups, 'github', 'write')).toBe('action_not_for_group');
    expect(may(groups, 'jira', 'x')).toBe('connector_not_for_group');
  });

  it('blocks what any of them blocks, and names that group and its entry', () => {
    const groups = [group('g1', { allowed: ['slack'] }), group('g2', { permissions: [block('slack', 'send*')] })];
    const decision = decide({ ...rest, server: null, user: alice, groups }, wanted('slack', 'send_all'));
    expect(decision).toMatchObject({
      allowed: false,
      reason: 'action_not_for_group',
      message: 'Action send_all is not allowed for connector slack',
      by: { layer: 'group', id: 'g2', rule: 'permissions: block slack send*' },
    });
  });

  it('changes nothing with a group that has no rules, and never widens what the user’s own rules say', () => {
    expect(may([group('g1', {})], 'slack', 'x')).toBe('allowed');
    const rules = {
      ...rest,
      server: null,
      user: { ...alice, blocked: ['slack'] },
      groups: [group('g', { allowed: ['slack'] })],
    };
    expect(answer(rules, wanted('slack', 'x'))).toBe('connector_not_for_user');
  });
});

describe('the layer of the key', () => {
  const with_ = (more: Partial<KeyRules>, serverId: string | null = null): Rules => ({
    ...rest,
    user: alice,
    key: { ...key, ...more },
    server: serverId === null ? null : { id: serverId, connectors: null, restrictions: null, requires: null },
  });

  it('narrows a delegated token to its permissions; an empty list of them opens nothing', () => {
    const token = with_({ permissions: [allow('slack', 'read*')] });
    expect(answer(token, wanted('slack', 'read_all'))).toBe('allowed');
    expect(answer(token, wanted('slack', 'send'))).toBe('action_not_for_key');
    expect(answer(token, wanted('github', 'read'))).toBe('connector_not_for_key');
    expect(answer(with_({ permissions: [] }), wanted('slack', 'read'))).toBe('connector_not_for_key');
    expect(answer(with_({ permissions: [block('slack', 'send')] }), wanted('slack', 'read'))).toBe('allowed');
  });

  it('opens a token’s own servers only: not another one, and not the endpoints that have none', () => {
    const token = { servers: ['mine-1'] };
    expect(decideEntry(with_(token, 'mine-1')).allowed).toBe(true);
    for (const serverId of ['other-1', null]) {
      expect(decideEntry(with_(token, serverId))).toMatchObject({ allowed: false, reason: 'server_not_for_key' });
      expect(answer(with_(token, serverId), wanted('slack', 'x'))).toBe('server_not_for_key');
    }
  });

  it('lets a key that was narrowed to other things call nothing, and names the scope', () => {
    const narrow = with_({ mayCall: false });
    expect(decideEntry(narrow)).toMatchObject({ reason: 'scope_missing', scopes: { missing: ['tools:call'] } });
    expect(answer(narrow, wanted('slack', 'x'))).toBe('scope_missing');
    expect(answer(narrow, wanted('slack'))).toBe('scope_missing');
  });
});

describe('the layer of requirements', () => {
  const as = (
    scopes: string[],
    claims: Record<string, unknown> | null = null,
    requires: Requirement[] = [],
  ): Rules => ({
    ...rest,
    user: alice,
    caller: { scopes, claims },
    server: { id: 'srv', connectors: null, restrictions: null, requires },
  });
  const write: Requirement = { actions: ['write*'], scopes: ['files:write'] };

  it('names the scope that is missing, what is demanded in all, and the rule', () => {
    const decision = decide(as(['files:read']), wanted('drive', 'write_file', [write]));
    expect(decision).toEqual({
      allowed: false,
      reason: 'scope_missing',
      message: 'Action write_file of connector drive needs the scope files:write',
      by: { layer: 'requirement', id: 'drive', rule: 'requires: scope files:write' },
      scopes: { required: ['files:write'], missing: ['files:write'] },
    });
    expect(answer(as([]), wanted('drive', 'read_file', [write]))).toBe('allowed');
    expect(answer(as([]), wanted('drive', undefined, [write]))).toBe('allowed');
  });

  it('takes a scope by name, by a beginning with a star, or by a star', () => {
    for (const held of ['files:write', 'files:*', '*'])
      expect(answer(as([held]), wanted('drive', 'write', [write]))).toBe('allowed');
    for (const held of ['files', 'Files:write', 'files:writer', 'file*s', 'other:*'])
      expect(answer(as([held]), wanted('drive', 'write', [write]))).toBe('scope_missing');
  });

  it('asks the connector’s and the server’s, all of their scopes and all of their claims', () => {
    const ofServer: Requirement[] = [
      { connector: 'drive', actions: ['*'], scopes: ['a'] },
      { connector: 'slack', actions: ['*'], scopes: ['never'] },
      { actions: ['write'], claims: [{ claim: 'role', oneOf: ['editor', 'owner'] }] },
    ];
    const of = (scopes: string[], claims: Record<string, unknown> | null) =>
      decide(as(scopes, claims, ofServer), wanted('drive', 'write', [write]));
    expect(of(['a', 'files:write'], { role: 'owner' }).allowed).toBe(true);
    expect(of(['a', 'files:write'], { role: 'reader' })).toMatchObject({ reason: 'claim_missing' });
    expect(of(['a', 'files:write'], null)).toMatchObject({
      message: 'Action write of connector drive needs a claim role that this caller does not show',
    });
    // One step up is enough: what is missing is told of all of them.
    expect(of([], { role: 'owner' })).toMatchObject({ scopes: { missing: ['files:write', 'a'] } });
  });

  it('says the requirement’s own words where it has some', () => {
    const requires = [{ ...write, message: 'Ask the owner of the drive' }];
    expect(decide(as([]), wanted('drive', 'write', requires))).toMatchObject({ message: 'Ask the owner of the drive' });
  });

  it('reads a claim by its name or by the path of dots, and a list by any of its values', () => {
    const met = (claims: Record<string, unknown>, claim: string, ...oneOf: (string | number | boolean)[]) =>
      answer(as([], claims), wanted('c', 'a', [{ actions: ['a'], claims: [{ claim, oneOf }] }])) === 'allowed';
    expect(met({ realm_access: { roles: ['user', 'admin'] } }, 'realm_access.roles', 'admin')).toBe(true);
    expect(met({ 'https://example.com/roles': ['admin'] }, 'https://example.com/roles', 'admin')).toBe(true);
    expect(met({ verified: true }, 'verified', true)).toBe(true);
    expect(met({ verified: 'true' }, 'verified', true)).toBe(false);
    expect(met({ level: 2 }, 'level', '2')).toBe(false);
    expect(met({}, 'constructor.name', 'Object')).toBe(false);
    expect(met({ roles: 'admin' }, 'roles.length', 5)).toBe(false);
    expect(met({ roles: [['admin']] }, 'roles', 'admin')).toBe(false);
  });

  it('hides a connector of which every action demands what is missing', () => {
    const all = [{ actions: ['*'], scopes: ['files:any'] }];
    expect(answer(as([]), wanted('drive', undefined, all))).toBe('scope_missing');
    expect(answer(as(['files:any']), wanted('drive', undefined, all))).toBe('allowed');
  });

  it('comes last: who may not call at all is not told of scopes', () => {
    const rules = { ...as([]), user: { ...alice, blocked: ['drive'] } };
    expect(answer(rules, wanted('drive', 'write', [write]))).toBe('connector_not_for_user');
  });

  it('opens nothing with a requirement that cannot be read', () => {
    for (const broken of [
      { actions: 'write' },
      { actions: ['*'], audience: 'x' },
      null,
      { actions: ['*'], scopes: 'x' },
    ])
      expect(answer(as(['*']), wanted('drive', 'write', [broken as unknown as Requirement]))).toBe('rule_unreadable');
  });
});

describe('the steps of a decision', () => {
  const open: Rules = {
    ...rest,
    user: alice,
    server: { id: 'srv', connectors: null, restrictions: null, requires: null },
  };
  it('are the layers in order, up to the one that refuses, and end as the decision does', () => {
    const rules: Rules = { ...open, groups: [group('g', { blocked: ['slack'] })] };
    const steps = decideStepwise(rules, wanted('slack', 'x'));
    expect(steps.map(({ layer, decision }) => [layer, decision.allowed])).toEqual([
      ['server', true],
      ['user', true],
      ['group', false],
    ]);
    expect(steps.at(-1)?.decision).toEqual(decide(rules, wanted('slack', 'x')));
    expect(decideStepwise(open, wanted('slack', 'x')).map(({ layer }) => layer)).toEqual([
      'server',
      'user',
      'group',
      'key',
      'requirement',
    ]);
  });
});
