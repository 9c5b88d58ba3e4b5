// Generated rule sets for tests of policy: every layer, small alphabets that collide on purpose, names that are weapons. One seed, one run.
// Knows the forms of rules and nothing of what they mean.
import type { Permission, Requirement, Restrictions } from '@mcp-valet/shared';
import type { AccessRules, Rules, ServerRules } from '../../packages/server/src/restrictions/decide.ts';

/** The seed of this run, printed by whoever fails: VALET_FUZZ_SEED repeats it. */
export const fuzzSeed = (): number => Number(process.env['VALET_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
  is(probability: number): boolean {
    return this.next() < probability;
  }
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)] as T;
  }
  some<T>(values: readonly T[], max = 4): T[] {
    return Array.from({ length: this.below(max + 1) }, () => this.pick(values));
  }
  shuffled<T>(values: readonly T[]): T[] {
    return values
      .map((value) => ({ value, at: this.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ value }) => value);
  }
}

export const connectorIds = ['slack', 'Slack', 'github', 's', 'constructor', '__proto__'];
export const actionIds = ['a', 'ab', 'abc', 'A', '*', 'a*', 'slack.a', 'toString', 'ü', 'abcdef', 'zzz'];
const entries = [...actionIds, 'slack.ab', 'github.a', 'Slack.abc', 'ab*', 'abcd*', '**'];
const people = [
  { id: 'usr_1', username: 'alice' },
  { id: 'usr_2', username: 'Alice' },
  { id: 'usr_3', username: 'default' },
];
const scopes = ['read', 'write', 'files:read', 'files:write', 'Read'];
const held = [...scopes, 'files:*', '*'];
const claimNames = ['role', 'realm.roles', 'https://x.example/role', 'constructor.name', 'level'];
const claimValues = ['admin', 'user', 2, true];

const permission = (chance: Chance): Permission => ({
  connector: chance.pick(connectorIds),
  mode: chance.is(0.6) ? 'allow' : 'block',
  actions: chance.some(entries),
});
const permissionsOf = (chance: Chance, max = 4): Permission[] =>
  Array.from({ length: chance.below(max + 1) }, () => permission(chance));

const lists = (chance: Chance, values: readonly string[], allow: string, block: string) => ({
  mode: chance.pick(['allowlist', 'blocklist'] as const),
  ...(chance.is(0.7) && { [allow]: chance.some(values) }),
  ...(chance.is(0.5) && { [block]: chance.some(values, 2) }),
});

export function restrictionsOf(chance: Chance): Restrictions {
  const names = people.flatMap(({ id, username }) => [id, username]);
  return {
    ...(chance.is(0.3) && { connectors: lists(chance, connectorIds, 'allowedIds', 'blockedIds') }),
    ...(chance.is(0.3) && { actions: lists(chance, entries, 'allowedActions', 'blockedActions') }),
    ...(chance.is(0.2) && { users: lists(chance, names, 'allowedIds', 'blockedIds') }),
    ...(chance.is(0.3) && { permissions: permissionsOf(chance) }),
  };
}

/** Mostly few rules: where every layer says much, nothing is ever allowed and nothing is learned. */
const accessOf = (chance: Chance, id: string): AccessRules =>
  chance.is(0.4)
    ? { id, allowed: [], blocked: [], permissions: [] }
    : {
        id,
        allowed: chance.is(0.25) ? chance.some(connectorIds) : [],
        blocked: chance.is(0.2) ? chance.some(connectorIds, 2) : [],
        permissions: chance.is(0.35) ? permissionsOf(chance, 3) : [],
      };

function requirementOf(chance: Chance, isServer: boolean): Requirement {
  return {
    ...(isServer && chance.is(0.5) && { connector: chance.pick(connectorIds) }),
    actions: [chance.pick(entries), ...chance.some(entries, 1)],
    ...(chance.is(0.7) && { scopes: chance.some(scopes, 2) }),
    ...(chance.is(0.4) && {
      claims: [{ claim: chance.pick(claimNames), oneOf: [chance.pick(claimValues), ...chance.some(claimValues, 1)] }],
    }),
  };
}
export const requirementsOf = (chance: Chance, isServer: boolean, max = 2): Requirement[] | null =>
  chance.is(0.3) ? null : Array.from({ length: chance.below(max + 1) }, () => requirementOf(chance, isServer));

function claimsOf(chance: Chance): Record<string, unknown> | null {
  if (chance.is(0.5)) return null;
  const value = () => (chance.is(0.5) ? chance.pick(claimValues) : chance.some(claimValues, 2));
  return {
    ...(chance.is(0.6) && { role: value() }),
    ...(chance.is(0.6) && { realm: chance.is(0.8) ? { roles: value() } : value() }),
    ...(chance.is(0.4) && { 'https://x.example/role': value() }),
    ...(chance.is(0.4) && { level: value() }),
  };
}

const serverOf = (chance: Chance): ServerRules => ({
  id: chance.pick(['srv-1', 'srv-2']),
  connectors: chance.is(0.7) ? null : chance.shuffled(connectorIds).slice(chance.below(3)),
  restrictions: chance.is(0.6) ? null : restrictionsOf(chance),
  requires: requirementsOf(chance, true),
});

export function rulesOf(chance: Chance): Rules {
  const person = chance.pick(people);
  const isDelegated = chance.is(0.3);
  return {
    server: chance.is(0.15) ? null : serverOf(chance),
    user: { ...accessOf(chance, person.id), username: person.username },
    groups: Array.from({ length: chance.below(4) }, (_, i) => accessOf(chance, `grp_${i}`)),
    key: {
      id: 'key_1',
      mayCall: !chance.is(0.03),
      servers: isDelegated && chance.is(0.3) ? chance.some(['srv-1', 'srv-2'], 2) : null,
      permissions: isDelegated ? permissionsOf(chance, 3) : null,
    },
    caller: { scopes: chance.some(held, 3), claims: claimsOf(chance) },
  };
}
