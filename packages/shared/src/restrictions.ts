// Rules as they cross the wire: restrictions of a server in both shapes, access of a user or group, and what tools demand of their caller.
// What they mean is decided by the gateway's `restrictions/decide`; here is only their form.
import * as z from 'zod/mini';
import { actionId, connectorId, jsonScalar, scope, text, userRef } from './primitives.ts';

const mode = z.enum(['allowlist', 'blocklist']);
const listOf = <S extends z.ZodMiniType>(entry: S) => z.optional(z.array(entry).check(z.maxLength(1000)));

/** Shape A: lists per kind. An allowlist with an empty list allows nothing. Entries of `actions` are an action id or `connector.action`. */
const listShape = {
  connectors: z.optional(z.strictObject({ mode, allowedIds: listOf(connectorId), blockedIds: listOf(connectorId) })),
  actions: z.optional(z.strictObject({ mode, allowedActions: listOf(actionId), blockedActions: listOf(actionId) })),
  users: z.optional(z.strictObject({ mode, allowedIds: listOf(userRef), blockedIds: listOf(userRef) })),
};

/** An action's name, or the beginning of names followed by `*`. */
const actionPattern = text(257, 1);

/** Shape B: permissions per connector; names may end in `*`. A connector not listed is closed as soon as any entry allows. */
export const permission = z.strictObject({
  connector: connectorId,
  mode: z.enum(['allow', 'block']),
  actions: z.array(actionPattern).check(z.maxLength(1000)),
});
export type Permission = z.output<typeof permission>;
export const permissions = z.array(permission).check(z.maxLength(1000));

/** Both shapes may be present; then both must agree. */
export const restrictions = z.strictObject({ ...listShape, permissions: z.optional(permissions) });
/** What a server's rules are made of. */
export type Restrictions = z.output<typeof restrictions>;

/** What a user or a group may reach. Empty `allowed`: every connector; `blocked` always wins; `permissions` goes down to actions. */
export const accessRules = z.strictObject({
  allowed: listOf(connectorId),
  blocked: listOf(connectorId),
  permissions: z.optional(permissions),
});
export type AccessRules = z.output<typeof accessRules>;
/** Access as replies show it: nothing left out. */
export const access = z.object({
  allowed: z.array(z.string()),
  blocked: z.array(z.string()),
  permissions: z.array(permission),
});
export type AccessView = z.output<typeof access>;

/** True when the claim, or one of its values where it is a list, equals one of `oneOf`. */
export const claimPredicate = z.strictObject({
  /** Name of a claim, with dots for nested ones: `realm_access.roles`. */
  claim: text(256, 1),
  oneOf: z.array(jsonScalar).check(z.minLength(1), z.maxLength(100)),
});

/**
 * What some actions demand of whoever calls them: all of `scopes` and all of `claims`. Scopes come from the user's token, or were given to the
 * key by name; claims from the user's token only.
 */
export const requirement = z.strictObject({
  /** On servers: of this connector only; absent: of every connector. On connectors it is left out. */
  connector: z.optional(connectorId),
  /** Actions by name; a name may end in `*`. */
  actions: z.array(actionPattern).check(z.minLength(1), z.maxLength(1000)),
  scopes: z.optional(z.array(scope).check(z.maxLength(50))),
  claims: z.optional(z.array(claimPredicate).check(z.maxLength(50))),
  /** Told to whoever lacks it, instead of our sentence. */
  message: z.optional(text(500, 1)),
});
export type Requirement = z.output<typeof requirement>;
export const requirements = z.array(requirement).check(z.maxLength(200));
