// Restrictions in both wire shapes. What they mean is decided by the gateway's `restrictions/decide`; here is only their form.
import * as z from 'zod/mini';
import { actionId, connectorId, text, userRef } from './primitives.ts';

const mode = z.enum(['allowlist', 'blocklist']);
const listOf = <S extends z.ZodMiniType>(entry: S) => z.optional(z.array(entry).check(z.maxLength(1000)));

/** Shape A: lists per kind. An allowlist with an empty list allows nothing. Entries of `actions` are an action id or `connector.action`. */
const listShape = {
  connectors: z.optional(z.strictObject({ mode, allowedIds: listOf(connectorId), blockedIds: listOf(connectorId) })),
  actions: z.optional(z.strictObject({ mode, allowedActions: listOf(actionId), blockedActions: listOf(actionId) })),
  users: z.optional(z.strictObject({ mode, allowedIds: listOf(userRef), blockedIds: listOf(userRef) })),
};

/** Shape B: permissions per connector; names may end in `*`. A connector not listed is closed as soon as any entry allows. */
export const permission = z.strictObject({
  connector: connectorId,
  mode: z.enum(['allow', 'block']),
  actions: z.array(text(257, 1)).check(z.maxLength(1000)),
});

/** Both shapes may be present; then both must agree. */
export const restrictions = z.strictObject({
  ...listShape,
  permissions: z.optional(z.array(permission).check(z.maxLength(1000))),
});
export type Restrictions = z.output<typeof restrictions>;
