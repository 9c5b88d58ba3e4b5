// POL-1: `decide` against a reference model written from the text of the rules, and the properties that lists and calls rely on.
// The model must not share code or shape with the implementation: it turns every rule into statements and asks all of them.
import type { Permission, Requirement } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import {
  decide,
  decideEntry,
  decideStepwise,
  type Rules,
  type Target,
} from '../../packages/server/src/restrictions/decide.ts';
import {
  actionIds,
  Chance,
  connectorIds,
  fuzzSeed,
  requirementsOf,
  restrictionsOf,
  rulesOf,
} from '../support/policy-rules.ts';

const ruleSets = 100_000;
const seed = fuzzSeed();

/** What a layer says about one action, entry by entry. */
interface Statements {
  denies: boolean[];
  allows: boolean[];
  /** Closed although nothing is allowed: an allowlist with an empty list, a token for nothing. */
  closed?: boolean;
}
/** Deny beats allow beats default; the default is deny as soon as the layer has any allow. */
function agrees({ denies, allows, closed = false }: Statements): boolean {
  if (denies.includes(true)) return false;
  if (allows.includes(true)) return true;
  return !closed && allows.length === 0;
}

const fits = (pattern: string, action: string): boolean =>
  new RegExp(`^${pattern.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\\\*$/, '.*')}$`, 'su').test(action);
const stated = (permissions: readonly Permission[], mode: string, connector: string, action: string): boolean[] =>
  permissions
    .filter((entry) => entry.mode === mode)
    .map((entry) => entry.connector === connector && entry.actions.some((pattern) => fits(pattern, action)));

type Call = Target & { action: string };
/** Several groups of statements that must all agree. */
type Layer = (rules: Rules, call: Call) => Statements[];

const server: Layer = ({ server: s, user }, { connector, action }) => {
  if (s === null) return [];
  const kinds: Statements[] = [];
  const list = (
    kind: { mode: string } | undefined,
    allow: readonly string[] = [],
    block: readonly string[] = [],
    is: string[],
  ) => {
    const hits = (entries: readonly string[]) => entries.map((entry) => is.includes(entry));
    if (kind !== undefined) kinds.push({ denies: hits(block), allows: hits(allow), closed: kind.mode === 'allowlist' });
  };
  if (s.connectors !== null)
    kinds.push({ denies: [], allows: s.connectors.map((id) => id === connector), closed: true });
  const r = s.restrictions;
  if (r === null) return kinds;
  list(r.users, r.users?.allowedIds, r.users?.blockedIds, [user.id, user.username]);
  list(r.connectors, r.connectors?.allowedIds, r.connectors?.blockedIds, [connector]);
  list(r.actions, r.actions?.allowedActions, r.actions?.blockedActions, [action, `${connector}.${action}`]);
  const permissions = r.permissions ?? [];
  kinds.push({
    denies: stated(permissions, 'block', connector, action),
    allows: stated(permissions, 'allow', connector, action),
  });
  return kinds;
};

const together = (sources: readonly Rules['groups'][number][], { connector, action }: Call): Statements => ({
  denies: sources.flatMap((one) => [
    ...one.blocked.map((id) => id === connector),
    ...stated(one.permissions, 'block', connector, action),
  ]),
  allows: sources.flatMap((one) => [
    ...one.allowed.map((id) => id === connector),
    ...stated(one.permissions, 'allow', connector, action),
  ]),
});
const user: Layer = ({ user: u }, call) => [together([u], call)];
const group: Layer = ({ groups }, call) => [together(groups, call)];

const key: Layer = ({ key: k, server: s }, { connector, action }) => [
  { denies: [!k.mayCall], allows: [] },
  { denies: [], allows: k.servers === null ? [] : k.servers.map((id) => id === s?.id), closed: k.servers !== null },
  {
    denies: stated(k.permissions ?? [], 'block', connector, action),
    allows: stated(k.permissions ?? [], 'allow', connector, action),
    closed: k.permissions?.length === 0,
  },
];

/** Claims by name or along the dots, own properties only; a list shows each of its values. */
function shown(claims: Readonly<Record<string, unknown>> | null, name: string): unknown[] {
  if (claims === null) return [];
  const own = new Map(Object.entries(claims));
  const [first = '', ...rest] = name.split('.');
  const value = own.has(name)
    ? own.get(name)
    : rest.reduce<unknown>(
        (from, part) => (from instanceof Object ? new Map(Object.entries(from)).get(part) : undefined),
        own.get(first),
      );
  return Array.isArray(value) ? value : [value];
}
const requirement: Layer = ({ server: s, caller }, { connector, action, requires }) => {
  const ofServer = (s?.requires ?? []).filter((one) => (one.connector ?? connector) === connector);
  const asked: Requirement[] = [...(requires ?? []), ...ofServer].filter((one) =>
    one.actions.some((pattern) => fits(pattern, action)),
  );
  const holds = (scope: string) => caller.scopes.some((one) => fits(one, scope));
  return asked.map((one) => ({
    allows: [],
    denies: [
      ...(one.scopes ?? []).map((scope) => !holds(scope)),
      ...(one.claims ?? []).map(({ claim, oneOf }) => {
        const values: unknown[] = oneOf;
        return !shown(caller.claims, claim).some((value) => values.includes(value));
      }),
    ],
  }));
};

const layers = { server, user, group, key, requirement };
/** The first layer that does not agree; undefined: the call is allowed. */
const modelDenies = (rules: Rules, call: Call): string | undefined =>
  Object.entries(layers).find(([, layer]) => !layer(rules, call).every(agrees))?.[0];

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null)
    for (const child of Object.values(Object.freeze(value))) deepFreeze(child);
  return value;
}

interface Scene {
  rules: Rules;
  requires: Map<string, Requirement[] | null>;
  call(connector: string, action: string): Call;
}
function sceneOf(chance: Chance): Scene {
  const requires = new Map(connectorIds.map((id) => [id, chance.is(0.4) ? null : requirementsOf(chance, false)]));
  return {
    rules: deepFreeze(rulesOf(chance)),
    requires,
    call: (connector, action) => ({ connector, action, requires: requires.get(connector) ?? null }),
  };
}
const failed = (at: number, { rules, requires }: Scene, more: unknown): string =>
  `VALET_FUZZ_SEED=${seed}, set ${at}: ${JSON.stringify({ rules, requires: [...requires], more })}`;

describe('decide', () => {
  it(`decides as the model of the rules does, and names the layer that does not agree: ${ruleSets} rule sets`, () => {
    const chance = new Chance(seed);
    const seen = new Map<string, number>();
    for (let at = 0; at < ruleSets; at++) {
      const scene = sceneOf(chance);
      const call = scene.call(chance.pick(connectorIds), chance.pick(actionIds));
      const decision = decide(scene.rules, call);
      const expected = modelDenies(scene.rules, call);
      const found = decision.allowed ? undefined : decision.by.layer;
      if (found !== expected) expect.fail(failed(at, scene, { call, expected, decision }));
      seen.set(expected ?? 'allowed', (seen.get(expected ?? 'allowed') ?? 0) + 1);
    }
    // No answer may be so rare that the comparison says nothing.
    for (const answer of [...Object.keys(layers), 'allowed'])
      expect([answer, (seen.get(answer) ?? 0) > ruleSets / 100]).toEqual([answer, true]);
  });

  it(`lists exactly what can be called, whatever was asked before: ${ruleSets} rule sets`, () => {
    const chance = new Chance(seed + 1);
    let listed = 0;
    for (let at = 0; at < ruleSets; at++) {
      const scene = sceneOf(chance);
      const { rules } = scene;
      const connector = chance.pick(connectorIds);
      const requires = scene.requires.get(connector) ?? null;
      // As lists are made: the connector first, then what is in it.
      const isShown = decideEntry(rules).allowed && decide(rules, { connector, requires }).allowed;
      const list = isShown ? actionIds.filter((action) => decide(rules, scene.call(connector, action)).allowed) : [];
      listed += list.length;
      for (const action of chance.shuffled(actionIds)) {
        const mayCall = modelDenies(rules, scene.call(connector, action)) === undefined;
        if (list.includes(action) !== mayCall) expect.fail(failed(at, scene, { connector, action, list }));
      }
    }
    expect(listed).toBeGreaterThan(ruleSets / 2);
  });

  it('takes away and never gives: a further rule of any layer opens nothing', () => {
    const chance = new Chance(seed + 2);
    let compared = 0;
    for (let at = 0; at < ruleSets / 10; at++) {
      const scene = sceneOf(chance);
      const { rules } = scene;
      const call = scene.call(chance.pick(connectorIds), chance.pick(actionIds));
      const block: Permission = { connector: call.connector, mode: 'block', actions: chance.some(actionIds) };
      const blocked = <T extends { permissions: readonly Permission[] }>(one: T): T => ({
        ...one,
        permissions: [...one.permissions, block],
      });
      const narrower: Rules[] = [
        { ...rules, user: blocked(rules.user) },
        { ...rules, groups: rules.groups.map(blocked) },
        { ...rules, caller: { scopes: [], claims: null } },
        { ...rules, key: { ...rules.key, permissions: [...(rules.key.permissions ?? []), block] } },
        ...(rules.server === null || rules.server.restrictions !== null
          ? []
          : [{ ...rules, server: { ...rules.server, restrictions: restrictionsOf(chance) } }]),
      ];
      const allowed = decide(rules, call).allowed;
      for (const less of narrower) {
        // A first block makes an empty list of a token's permissions one that says something: everything else opens.
        if (less.key !== rules.key && rules.key.permissions?.length === 0) continue;
        compared++;
        if (decide(less, call).allowed && !allowed) expect.fail(failed(at, scene, { call, less }));
      }
    }
    expect(compared).toBeGreaterThan(ruleSets / 10);
  });

  it('says why in words that name the target and what is missing, and nothing else', () => {
    const chance = new Chance(seed + 3);
    let denials = 0;
    for (let at = 0; at < ruleSets / 10; at++) {
      const scene = sceneOf(chance);
      const call = scene.call(chance.pick(connectorIds), chance.pick(actionIds));
      const decision = decide(scene.rules, call);
      if (decision.allowed) continue;
      denials++;
      const { connector, action } = call;
      const words = [
        `Action ${action} is not allowed for connector ${connector}`,
        `Connector ${connector} is not allowed`,
        `User ${scene.rules.user.username} is not allowed on this server`,
        'This token does not open this endpoint',
        'This key needs the scope tools:call',
      ];
      const needs = `Action ${action} of connector ${connector} needs `;
      if (!words.includes(decision.message) && !decision.message.startsWith(needs))
        expect.fail(failed(at, scene, { call, decision }));
      const isScope = decision.reason === 'scope_missing';
      if (isScope !== (decision.scopes !== undefined && decision.scopes.missing.length > 0))
        expect.fail(failed(at, scene, { call, decision }));
    }
    expect(denials).toBeGreaterThan(ruleSets / 100);
  });

  it('tells the same step by step', () => {
    const chance = new Chance(seed + 4);
    for (let at = 0; at < ruleSets / 10; at++) {
      const scene = sceneOf(chance);
      const call = scene.call(chance.pick(connectorIds), chance.pick(actionIds));
      const steps = decideStepwise(scene.rules, call);
      expect(steps.at(-1)?.decision).toEqual(decide(scene.rules, call));
      expect(steps.slice(0, -1).every(({ decision }) => decision.allowed)).toBe(true);
    }
  });
});
