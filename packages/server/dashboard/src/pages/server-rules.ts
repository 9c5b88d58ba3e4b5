// A server's restrictions as the editor's form holds them: read out of it, and compared with the saved ones. Decides nothing.
import type { Restrictions } from '@mcp-valet/client';
import { readPermissions } from '../parts/permissions.tsx';
import { words } from '../words.ts';

/** What the form says; `problem`: it says nothing that could be read. */
export interface Draft {
  restrictions: Restrictions | null;
  problem: string | undefined;
}

export type Mode = 'allowlist' | 'blocklist';
export type RuleName = 'connectors' | 'actions' | 'users';

/** One rule, whatever its lists are called: the list that its mode is about, and the other one, which most rules leave empty. */
export interface Rule {
  mode: Mode | undefined;
  ids: readonly string[];
  others: readonly string[];
}

export function ruleOf(rules: Restrictions | null, name: RuleName): Rule {
  const rule = rules?.[name];
  if (rule === undefined) return { mode: undefined, ids: [], others: [] };
  const [allowed = [], blocked = []] =
    'allowedActions' in rule || 'blockedActions' in rule
      ? [rule.allowedActions, rule.blockedActions]
      : 'allowedIds' in rule || 'blockedIds' in rule
        ? [rule.allowedIds, rule.blockedIds]
        : [];
  const isAllowing = rule.mode === 'allowlist';
  return { mode: rule.mode, ids: isAllowing ? allowed : blocked, others: isAllowing ? blocked : allowed };
}

interface ReadRule {
  mode: Mode;
  allowed: string[];
  blocked: string[];
}

function readRule(data: FormData, name: RuleName): ReadRule | undefined {
  const mode = data.get(`${name}-mode`);
  if (mode !== 'allowlist' && mode !== 'blocklist') return undefined;
  const [ids, others] = [words(data.get(name)), words(data.get(`${name}-others`))];
  const [allowed, blocked] = mode === 'allowlist' ? [ids, others] : [others, ids];
  return { mode, allowed, blocked };
}

/** Throws with the line that cannot be read. */
export function readRestrictions(data: FormData): Restrictions | null {
  const [connectors, users, actions] = [
    readRule(data, 'connectors'),
    readRule(data, 'users'),
    readRule(data, 'actions'),
  ];
  const listed = (ids: string[], name: string) => (ids.length > 0 ? { [name]: ids } : {});
  const byId = (rule: ReadRule) => ({
    mode: rule.mode,
    ...listed(rule.allowed, 'allowedIds'),
    ...listed(rule.blocked, 'blockedIds'),
  });
  const permissions = readPermissions(data);
  const all = {
    ...(connectors && { connectors: byId(connectors) }),
    ...(users && { users: byId(users) }),
    ...(actions && {
      actions: {
        mode: actions.mode,
        ...listed(actions.allowed, 'allowedActions'),
        ...listed(actions.blocked, 'blockedActions'),
      },
    }),
    ...(permissions.length > 0 && { permissions }),
  };
  return Object.keys(all).length === 0 ? null : all;
}

/** The same text for rules that say the same: an empty list of ids is none. */
function canonical(rules: Restrictions | null): string {
  return JSON.stringify(rules ?? {}, (name, value: unknown) => {
    if (Array.isArray(value)) return value.length === 0 && /^(allowed|blocked)/.test(name) ? undefined : value;
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
export const isSame = (one: Restrictions | null, other: Restrictions | null): boolean =>
  canonical(one) === canonical(other);
