// The contract's own examples and messages for `decide`. The generated cases against an independent model stand in test/unit.
import type { Restrictions } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { decide, decideEntry, type KeyRules, type Rules, type UserRules } from './decide.ts';

const alice: UserRules = { id: 'usr_1', username: 'alice', allowed: [], blocked: [], permissions: [] };
const key: KeyRules = { id: 'key_1', mayCall: true, servers: null, permissions: null };
const rest = { groups: [], key, caller: { scopes: [], claims: null } };
const on = (
  restrictions: Restrictions | null,
  user: Partial<UserRules> = {},
  connectors: string[] | null = null,
): Rules => ({
  ...rest,
  server: { id: 'srv', connectors, restrictions, requires: null },
  user: { ...alice, ...user },
});
const may = (rules: Rules, connector: string, action?: string): boolean =>
  decide(rules, { connector, action, requires: null }).allowed;
const denied = (rules: Rules, connector: string, action?: string) => {
  const decision = decide(rules, { connector, action, requires: null });
  return decision.allowed ? 'allowed' : [decision.reason, decision.message];
};

describe('the exact messages', () => {
  it('names action and connector, connector, or user', () => {
    const block = on({ permissions: [{ connector: 'slack', mode: 'block', actions: ['chat_postMessage'] }] });
    expect(denied(block, 'slack', 'chat_postMessage')).toEqual([
      'action_restricted',
      'Action chat_postMessage is not allowed for connector slack',
    ]);
    const other = on({ connectors: { mode: 'allowlist', allowedIds: ['slack'] } });
    expect(denied(other, 'github', 'x')).toEqual(['connector_restricted', 'Connector github is not allowed']);
    const bob = on({ users: { mode: 'allowlist', allowedIds: ['bob'] } });
    expect(denied(bob, 'slack', 'x')).toEqual(['user_not_on_server', 'User alice is not allowed on this server']);
    expect(decideEntry(bob)).toMatchObject({
      allowed: false,
      message: 'User alice is not allowed on this server',
    });
  });
});

describe('shape A, lists per kind', () => {
  it('allows nothing with an empty or absent allowlist, connectors and actions alike', () => {
    for (const allowedIds of [[], undefined]) {
      const rules = on({ connectors: { mode: 'allowlist', ...(allowedIds && { allowedIds }) } });
      expect(may(rules, 'slack')).toBe(false);
    }
    for (const allowedActions of [[], undefined]) {
      const rules = on({ actions: { mode: 'allowlist', ...(allowedActions && { allowedActions }) } });
      expect(may(rules, 'slack', 'send')).toBe(false);
      // A connector of which nothing can be called is not shown either.
      expect(may(rules, 'slack')).toBe(false);
    }
  });

  it('lets a deny win over an allow of the same entry', () => {
    const rules = on({ actions: { mode: 'allowlist', allowedActions: ['send'], blockedActions: ['slack.send'] } });
    expect(may(rules, 'slack', 'send')).toBe(false);
    expect(may(rules, 'teams', 'send')).toBe(true);
  });

  it('closes the default of a blocklist that carries an allow', () => {
    const rules = on({ connectors: { mode: 'blocklist', blockedIds: ['github'], allowedIds: ['slack'] } });
    expect(may(rules, 'slack')).toBe(true);
    expect(may(rules, 'github')).toBe(false);
    expect(may(rules, 'jira')).toBe(false);
  });

  it('reads an entry of actions as an action id or as connector.action, never as a pattern', () => {
    const rules = on({ actions: { mode: 'allowlist', allowedActions: ['slack.send', 'read', 'get*'] } });
    expect(may(rules, 'slack', 'send')).toBe(true);
    expect(may(rules, 'teams', 'send')).toBe(false);
    expect(may(rules, 'teams', 'read')).toBe(true);
    expect(may(rules, 'teams', 'getAll')).toBe(false);
    expect(may(rules, 'teams', 'get*')).toBe(true);
  });

  it('is case-sensitive and knows a user by username and by id', () => {
    expect(may(on({ connectors: { mode: 'allowlist', allowedIds: ['zohoCRM'] } }), 'zohocrm')).toBe(false);
    expect(may(on({ users: { mode: 'blocklist', blockedIds: ['usr_1'] } }), 'slack')).toBe(false);
    expect(may(on({ users: { mode: 'blocklist', blockedIds: ['Alice'] } }), 'slack')).toBe(true);
  });
});

describe('shape B, permissions', () => {
  it('closes connectors that are not listed as soon as any entry allows', () => {
    const rules = on({ permissions: [{ connector: 'slack', mode: 'allow', actions: ['chat_*'] }] });
    expect(may(rules, 'slack')).toBe(true);
    expect(may(rules, 'slack', 'chat_postMessage')).toBe(true);
    expect(may(rules, 'slack', 'users_list')).toBe(false);
    expect(may(rules, 'github')).toBe(false);
    expect(may(on({ permissions: [{ connector: 'slack', mode: 'block', actions: ['*'] }] }), 'github', 'x')).toBe(true);
  });

  it('takes a star as a wildcard at the end only', () => {
    const rules = on({ permissions: [{ connector: 'slack', mode: 'allow', actions: ['a*b', 'c*'] }] });
    expect(may(rules, 'slack', 'a*b')).toBe(true);
    expect(may(rules, 'slack', 'axb')).toBe(false);
    expect(may(rules, 'slack', 'c')).toBe(true);
    expect(may(rules, 'slack', 'c*d')).toBe(true);
  });

  it('hides a connector of which nothing is left', () => {
    expect(may(on({ permissions: [{ connector: 'slack', mode: 'allow', actions: [] }] }), 'slack')).toBe(false);
    expect(may(on({ permissions: [{ connector: 'slack', mode: 'block', actions: ['*'] }] }), 'slack')).toBe(false);
  });

  it('agrees only where both shapes agree', () => {
    const rules = on({
      actions: { mode: 'allowlist', allowedActions: ['send', 'read'] },
      permissions: [{ connector: 'slack', mode: 'allow', actions: ['send', 'list'] }],
    });
    expect(['send', 'read', 'list'].map((action) => may(rules, 'slack', action))).toEqual([true, false, false]);
  });
});

describe('layers', () => {
  it('asks the server and the user, and needs both', () => {
    const open = on(null, { allowed: ['slack', 'github'], blocked: ['github'] }, ['slack', 'github', 'jira']);
    expect(may(open, 'slack')).toBe(true);
    expect(denied(open, 'github')).toEqual(['connector_not_for_user', 'Connector github is not allowed']);
    expect(denied(open, 'jira')).toEqual(['connector_not_for_user', 'Connector jira is not allowed']);
    expect(denied(on(null, {}, ['slack']), 'github', 'x')).toEqual([
      'connector_not_on_server',
      'Connector github is not allowed',
    ]);
  });

  it('asks the user alone where there is no server', () => {
    const rules: Rules = { ...rest, server: null, user: { ...alice, blocked: ['slack'] } };
    expect(may(rules, 'slack', 'x')).toBe(false);
    expect(may(rules, 'github', 'x')).toBe(true);
    expect(decideEntry(rules)).toEqual({ allowed: true });
  });
});

describe('a stored rule that cannot be read', () => {
  const unreadable: Record<string, unknown> = {
    'a text instead of an object': '{"connectors":{"mode":"allowlist","allowedIds":[]}}',
    'a list': [],
    'a number': 7,
    'an unknown part': { groups: { mode: 'allowlist', allowedIds: [] } },
    'a list that is none': { connectors: { mode: 'blocklist', blockedIds: 'slack' } },
    'an unknown mode': { connectors: { mode: 'greylist', blockedIds: [] } },
    'an unknown permission mode': { permissions: [{ connector: 'slack', mode: 'deny', actions: ['*'] }] },
    'permissions that are no list': { permissions: { connector: 'slack' } },
    'a null among permissions': { permissions: [null] },
    'a null part': { connectors: null },
    'actions that are no names': { permissions: [{ connector: 'slack', mode: 'block', actions: [1] }] },
  };
  it.each(Object.keys(unreadable))('opens nothing: %s', (name) => {
    const rules = on(unreadable[name] as Restrictions);
    expect(may(rules, 'slack', 'send')).toBe(false);
  });
  it('opens nothing for a user whose lists cannot be read', () => {
    expect(denied(on(null, { blocked: undefined as never }), 'slack')).toEqual([
      'rule_unreadable',
      'Connector slack is not allowed',
    ]);
  });
});
