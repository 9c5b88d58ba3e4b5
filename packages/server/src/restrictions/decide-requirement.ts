// Pure: the layer of requirements. Every requirement that names the action, of the connector and of the server, must be met: all its scopes are
// held, and all its claims are shown by a verified user token.
import type { Requirement } from '@mcp-valet/shared';
import { holdsScope, readClaim } from '../identity/principal.ts';
import {
  allowed,
  type CallerRules,
  type Decision,
  type Denial,
  deny,
  listOf,
  matchesPattern,
  type RuleRef,
  type ServerRules,
  type Target,
  Unreadable,
} from './rules.ts';

const readableKeys = new Set(['connector', 'actions', 'scopes', 'claims', 'message']);

function mustBeReadable(one: Requirement): void {
  if (!Object.keys(one).every((key) => readableKeys.has(key))) throw new Unreadable();
}

/** Without an action the question is the connector: only what every action demands hides it. */
const concerns = (one: Requirement, { action }: Target): boolean =>
  listOf(one.actions).some((pattern) => (action === undefined ? pattern === '*' : matchesPattern(pattern, action)));

function shows(claims: CallerRules['claims'], { claim, oneOf }: NonNullable<Requirement['claims']>[number]): boolean {
  const value = claims === null ? undefined : readClaim(claims, claim);
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  const wanted: readonly unknown[] = listOf(oneOf);
  return values.some((one) => wanted.includes(one));
}

function subjectOf({ action, connector }: Target): string {
  return action === undefined ? `Connector ${connector}` : `Action ${action} of connector ${connector}`;
}

const scopeSentence = (target: Target, [first, ...rest]: readonly string[]): string =>
  `${subjectOf(target)} needs the scope${rest.length > 0 ? 's' : ''} ${[first, ...rest].join(', ')}`;

/** Why a requirement is not met; undefined: it is. */
function unmet(one: Requirement, id: string, caller: CallerRules, target: Target): Denial | undefined {
  const by = (what: string): RuleRef => ({ layer: 'requirement', id, rule: `requires: ${what}` });
  const required = listOf(one.scopes ?? []);
  const missing = required.filter((scope) => !holdsScope(caller.scopes, scope));
  if (missing.length > 0) {
    const message = one.message ?? scopeSentence(target, missing);
    return { ...deny(by(`scope ${missing.join(' ')}`), 'scope_missing', message), scopes: { required, missing } };
  }
  const claim = listOf(one.claims ?? []).find((predicate) => !shows(caller.claims, predicate))?.claim;
  if (claim === undefined) return undefined;
  const message = one.message ?? `${subjectOf(target)} needs a claim ${claim} that this caller does not show`;
  return deny(by(`claim ${claim}`), 'claim_missing', message);
}

/** The first requirement that is not met decides; what is missing is told of all of them, so that one step up is enough. */
export function decideRequirement(server: ServerRules | null, caller: CallerRules, target: Target): Decision {
  const ofServer = server?.requires ?? null;
  if (ofServer === null && target.requires === null) return allowed;
  const failed: Denial[] = [];
  const ask = (list: readonly Requirement[], id: string, isServer: boolean): void => {
    for (const one of listOf(list)) {
      mustBeReadable(one);
      if (isServer && one.connector !== undefined && one.connector !== target.connector) continue;
      if (!concerns(one, target)) continue;
      const denial = unmet(one, id, caller, target);
      if (denial !== undefined) failed.push(denial);
    }
  };
  ask(target.requires ?? [], target.connector, false);
  if (server !== null) ask(ofServer ?? [], server.id, true);
  const first = failed.find(({ scopes }) => scopes !== undefined) ?? failed[0];
  if (first === undefined) return allowed;
  if (first.scopes === undefined) return first;
  const all = (field: 'required' | 'missing') => [...new Set(failed.flatMap(({ scopes }) => scopes?.[field] ?? []))];
  return { ...first, scopes: { required: all('required'), missing: all('missing') } };
}
