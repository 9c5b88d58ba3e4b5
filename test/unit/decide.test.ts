// POL-1: `decide` against a reference model written from the contract's text, and the properties that lists and calls rely on.
// The model must not share code or shape with the implementation: it turns every rule into statements and asks all of them.
import type { Restrictions } from '@mcp-valet/shared';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, decideServerUser, type Rules, type Target } from '../../packages/server/src/restrictions/decide.ts';
import { holds } from '../support/holds.ts';

const runs = 10_000;
const connectorIds = ['slack', 'Slack', 'github', 's', 'constructor', '__proto__'];
const actionIds = ['a', 'ab', 'abc', 'A', '*', 'a*', 'slack.a', 'toString', 'ü'];
const entries = [...actionIds, 'slack.ab', 'github.a', 'Slack.abc', 'ab*', 'abcd*', '**'];
const people = [
  { id: 'usr_1', username: 'alice' },
  { id: 'usr_2', username: 'Alice' },
  { id: 'usr_3', username: 'default' },
];

const some = <T>(values: readonly T[], maxLength = 4) => fc.array(fc.constantFrom(...values), { maxLength });
const mode = fc.constantFrom('allowlist' as const, 'blocklist' as const);
const maybe = { requiredKeys: ['mode'] as ['mode'] };
const ids = (values: readonly string[]) =>
  fc.record({ mode, allowedIds: some(values), blockedIds: some(values) }, maybe);
const permission = fc.record({
  connector: fc.constantFrom(...connectorIds),
  mode: fc.constantFrom('allow' as const, 'block' as const),
  actions: some(entries),
});
const restrictions = fc.record(
  {
    connectors: ids(connectorIds),
    actions: fc.record({ mode, allowedActions: some(entries), blockedActions: some(entries) }, maybe),
    users: ids(people.flatMap(({ id, username }) => [id, username])),
    permissions: fc.array(permission, { maxLength: 4 }),
  },
  { requiredKeys: [] },
) as fc.Arbitrary<Restrictions>;
const user = fc
  .tuple(fc.constantFrom(...people), some(connectorIds, 3), some(connectorIds, 2))
  .map(([person, allowed, blocked]) => ({ ...person, allowed, blocked }));
const server = fc.record({
  connectors: fc.option(fc.uniqueArray(fc.constantFrom(...connectorIds))),
  restrictions: fc.option(restrictions, { freq: 8 }),
});
const rules: fc.Arbitrary<Rules> = fc.record({ server: fc.option(server, { freq: 8 }), user });
type ActionTarget = Target & { action: string };
const target: fc.Arbitrary<ActionTarget> = fc.record({
  connector: fc.constantFrom(...connectorIds),
  action: fc.constantFrom(...actionIds, 'abcdef', 'zzz'),
});

/** One layer's statements about a target; what they come to is in `agrees` alone. */
interface Statements {
  denies: boolean[];
  allows: boolean[];
  closed: boolean;
}
const agrees = ({ denies, allows, closed }: Statements): boolean => {
  if (denies.includes(true)) return false;
  if (allows.includes(true)) return true;
  return !closed && allows.length === 0;
};

function modelLayers({ server: s, user: u }: Rules, { connector, action }: ActionTarget): Statements[] {
  const layers: Statements[] = [];
  const lists = (
    kind: { mode: string } | undefined,
    allow: readonly string[] = [],
    block: readonly string[] = [],
    names: string[],
  ) => {
    if (kind === undefined) return;
    const hits = (list: readonly string[]) => list.map((entry) => names.includes(entry));
    layers.push({ denies: hits(block), allows: hits(allow), closed: kind.mode === 'allowlist' });
  };
  if (s?.connectors) layers.push({ denies: [], allows: s.connectors.map((id) => id === connector), closed: true });
  const r = s?.restrictions;
  if (r) {
    lists(r.users, r.users?.allowedIds, r.users?.blockedIds, [u.id, u.username]);
    lists(r.connectors, r.connectors?.allowedIds, r.connectors?.blockedIds, [connector]);
    lists(r.actions, r.actions?.allowedActions, r.actions?.blockedActions, [action, `${connector}.${action}`]);
    const fits = (pattern: string) =>
      new RegExp(`^${pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\\\*$/, '.*')}$`, 'su').test(action);
    const stated = (wanted: string) =>
      (r.permissions ?? [])
        .filter((entry) => entry.mode === wanted)
        .map((entry) => entry.connector === connector && entry.actions.some(fits));
    layers.push({ denies: stated('block'), allows: stated('allow'), closed: false });
  }
  layers.push({
    denies: u.blocked.map((id) => id === connector),
    allows: u.allowed.map((id) => id === connector),
    closed: false,
  });
  return layers;
}
const modelMay = (given: Rules, wanted: ActionTarget): boolean => modelLayers(given, wanted).every(agrees);

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null)
    for (const child of Object.values(Object.freeze(value))) deepFreeze(child);
  return value;
}

describe('decide', () => {
  it('decides as the model of the contract does', () => {
    let allowed = 0;
    holds(
      fc.property(rules, target, (given, wanted) => {
        const decision = decide(deepFreeze(given), wanted);
        if (decision.allowed) allowed++;
        return decision.allowed === modelMay(given, wanted);
      }),
      runs,
    );
    // Neither answer may be so rare that the comparison says nothing.
    expect(allowed).toBeGreaterThan(runs / 20);
    expect(allowed).toBeLessThan(runs * 0.8);
  });

  it('lists exactly what can be called: no order of questions, and no rule, changes an answer', () => {
    holds(
      fc.property(
        rules,
        fc.shuffledSubarray(actionIds),
        fc.constantFrom(...connectorIds),
        (given, order, connector) => {
          const listed = actionIds.filter((action) => decide(given, { connector, action }).allowed);
          return order.every(
            (action) => decide(structuredClone(given), { connector, action }).allowed === listed.includes(action),
          );
        },
      ),
      runs,
    );
  });

  it('never hides a connector of which an action can be called', () => {
    holds(
      fc.property(rules, target, (given, wanted) => {
        if (!decide(given, wanted).allowed) return true;
        return decide(given, { connector: wanted.connector }).allowed && decideServerUser(given).allowed;
      }),
      runs,
    );
  });

  it('takes away and never gives: a further deny or layer opens nothing', () => {
    holds(
      fc.property(rules, restrictions, target, (given, more, wanted) => {
        if (given.server === null) return true;
        const narrowed: Rules = {
          server: {
            ...given.server,
            restrictions: {
              ...given.server.restrictions,
              permissions: [
                ...(given.server.restrictions?.permissions ?? []),
                ...(more.permissions ?? []).map((entry) => ({ ...entry, mode: 'block' as const })),
              ],
            },
          },
          user: { ...given.user, blocked: [...given.user.blocked, 'github'] },
        };
        return decide(given, wanted).allowed || !decide(narrowed, wanted).allowed;
      }),
      runs,
    );
  });

  it('says why in words that name the target and nothing else', () => {
    holds(
      fc.property(rules, target, (given, wanted) => {
        const decision = decide(given, wanted);
        if (decision.allowed) return true;
        return [
          `Action ${wanted.action} is not allowed for connector ${wanted.connector}`,
          `Connector ${wanted.connector} is not allowed`,
          `User ${given.user.username} is not allowed on this server`,
        ].includes(decision.message);
      }),
      runs,
    );
  });
});
