// What rules are made of and what a decision says. Types, the exact messages and the matching of names; no layer's meaning is here.
import type { Permission, Requirement, Restrictions } from '@mcp-valet/shared';

export interface ServerRules {
  id: string;
  /** Connectors that the server was given; null: every connector of the account. */
  connectors: readonly string[] | null;
  restrictions: Restrictions | null;
  requires: readonly Requirement[] | null;
}
/** What a user's or a group's own rules say. */
export interface AccessRules {
  id: string;
  /** Connectors with all their actions. */
  allowed: readonly string[];
  /** Always wins. */
  blocked: readonly string[];
  permissions: readonly Permission[];
}
export interface UserRules extends AccessRules {
  username: string;
}
/** What was presented: an API key, a delegated token, or for a user token alone its issuer. */
export interface KeyRules {
  id: string;
  /** False for a key that was narrowed to scopes without `tools:call`. */
  mayCall: boolean;
  /** Servers that it opens; null: every one, and the endpoints without a server. */
  servers: readonly string[] | null;
  /** Null: all that its user may. An empty list: nothing. */
  permissions: readonly Permission[] | null;
}
/** What the caller can show for requirements. */
export interface CallerRules {
  scopes: readonly string[];
  /** Of a verified user token; null: there is none. */
  claims: Readonly<Record<string, unknown>> | null;
}
export interface Rules {
  /** Null on the endpoints without a server: the aggregate `/mcp` and the direct tool call. */
  server: ServerRules | null;
  user: UserRules;
  /** All groups of the user; together they are one layer. */
  groups: readonly AccessRules[];
  key: KeyRules;
  caller: CallerRules;
}
/** What is touched. Without `action` the question is whether the connector may be seen at all. */
export interface Target {
  connector: string;
  action?: string | undefined;
  /** What the connector itself demands. */
  requires: readonly Requirement[] | null;
}

export type Layer = 'server' | 'user' | 'group' | 'key' | 'requirement';
/** Which rule it was: the layer, whose rule, and the very entry where one entry decided. */
export interface RuleRef {
  layer: Layer;
  id: string | null;
  rule: string | null;
}
export type DenialReason =
  | 'user_not_on_server'
  | 'connector_not_on_server'
  | 'connector_restricted'
  | 'action_restricted'
  | 'connector_not_for_user'
  | 'action_not_for_user'
  | 'connector_not_for_group'
  | 'action_not_for_group'
  | 'connector_not_for_key'
  | 'action_not_for_key'
  | 'server_not_for_key'
  | 'scope_missing'
  | 'claim_missing'
  | 'rule_unreadable';
export interface Denial {
  allowed: false;
  reason: DenialReason;
  message: string;
  by: RuleRef;
  /** Of `scope_missing`: what is demanded, and what of it the caller lacks. */
  scopes?: { required: readonly string[]; missing: readonly string[] };
}
export type Decision = { allowed: true } | Denial;

/** A stored rule that this code does not understand; whoever meets it denies. */
export class Unreadable extends Error {
  override readonly name = 'Unreadable';
}

export const allowed: Decision = { allowed: true };
export const deny = (by: RuleRef, reason: DenialReason, message: string): Denial => ({
  allowed: false,
  reason,
  message,
  by,
});
export const noConnector = (by: RuleRef, reason: DenialReason, target: Target): Denial =>
  deny(by, reason, `Connector ${target.connector} is not allowed`);
export const noAction = (by: RuleRef, reason: DenialReason, target: Target): Denial =>
  target.action === undefined
    ? noConnector(by, reason, target)
    : deny(by, reason, `Action ${target.action} is not allowed for connector ${target.connector}`);

/** `*` at the end matches any rest; anywhere else it is an ordinary character. */
export const matchesPattern = (pattern: string, action: string): boolean =>
  pattern.endsWith('*') ? action.startsWith(pattern.slice(0, -1)) : pattern === action;

/** What is stored as JSON is what it should be, or it denies. */
export function listOf<T>(value: readonly T[]): readonly T[] {
  if (!Array.isArray(value)) throw new Unreadable();
  return value as readonly T[];
}
