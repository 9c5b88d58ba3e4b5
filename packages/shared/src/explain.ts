// The dry run: what a call would come to now, and why. Asked of the same code that decides real calls; nothing is executed or counted.
import * as z from 'zod/mini';
import { actionId, connectorId, jsonObject, opaqueId, scope, userRef } from './primitives.ts';
import { restrictions } from './restrictions.ts';
import { route } from './route.ts';

const remaining = z.object({
  /** `user`, `server`, or the id of a limit. */
  policy: z.string(),
  limit: z.int(),
  remaining: z.int(),
  window: z.union([z.int(), z.literal('day')]),
});

export const explanation = z.object({
  /** What the call would come to. `execute` does not promise that the upstream agrees. */
  outcome: z.enum(['execute', 'refuse']),
  /** Of a refusal: the code and message of the real call. */
  code: z.nullable(z.string()),
  message: z.nullable(z.string()),
  /** The reason code that the trail would show. */
  reason: z.nullable(z.string()),
  userId: z.nullable(z.string()),
  username: z.nullable(z.string()),
  serverId: z.nullable(z.string()),
  connectorId: z.nullable(z.string()),
  action: z.nullable(z.string()),
  /**
   * The layer that refused, or the last that agreed: `caller` (whom the call runs as), `limit`, `connector` (whether it is there), `server`,
   * `user`, `group`, `key`, `requirement`, `credential`, `arguments`.
   */
  decidedBy: z.object({
    layer: z.string(),
    /** Id of the server, user, group, key or limit whose rule it is. */
    id: z.nullable(z.string()),
    /** The very entry, where one entry decided. */
    rule: z.nullable(z.string()),
  }),
  /** The layers in the order they were asked, up to the one that refused. */
  steps: z.array(z.object({ layer: z.string(), allowed: z.boolean(), detail: z.string() })),
  /** The credential that would sign in, and why this one; null: none is needed, or none would do. */
  credential: z.nullable(
    z.object({
      credentialId: z.string(),
      chosenBy: z.enum(['argument', 'default', 'only', 'shared', 'group']),
      ownerUserId: z.string(),
      status: z.string(),
    }),
  ),
  /** Every limit that the call would count against, before it. */
  limits: z.array(remaining),
  missingScopes: z.array(z.string()),
  /** Decided by the drafted rules of the question; those in force may say something else. */
  isDraft: z.boolean(),
});
export type Explanation = z.output<typeof explanation>;

/** Where a question is asked, and by which rules. */
const place = {
  /** Default: the aggregate endpoint. */
  serverId: z.optional(opaqueId),
  /** Asks by these rules of the server instead of the saved ones. Saves nothing; needs `serverId` and the right to save them. */
  draft: z.optional(z.strictObject({ restrictions: z.nullable(restrictions) })),
};
/** Default: what a call that names nobody runs as. */
const userId = z.optional(userRef);

/** A draft of no server's rules would be obeyed by nobody. */
const isOfServer = z.refine<{ serverId?: string | undefined; draft?: unknown }>(
  ({ draft, serverId }) => draft === undefined || serverId !== undefined,
  { error: 'Needs the server whose rules it drafts', path: ['serverId'] },
);

export const explainRoutes = {
  /** Says what would happen if this user called this action now, and why. Nothing is executed, counted or opened. */
  explain: route({
    method: 'POST',
    path: '/api/explain',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Explain what a call would come to',
    body: z
      .strictObject({
        userId,
        ...place,
        connectorId,
        action: actionId,
        arguments: z.optional(jsonObject),
        credentialId: z.optional(opaqueId),
        /** As the holder of this key or delegated token; default: as the asking key. */
        keyId: z.optional(opaqueId),
        /** As the bearer of a user token with these. */
        scopes: z.optional(z.array(scope).check(z.maxLength(50))),
        claims: z.optional(jsonObject),
      })
      .check(isOfServer),
    status: 200,
    reply: explanation,
    errors: ['NOT_FOUND'],
    audit: null,
    idempotent: true,
    db: 'plain',
  }),
  /** The same of up to 100 calls in one request: who can call what. */
  explainMany: route({
    method: 'POST',
    path: '/api/explain/many',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Explain what each of several calls would come to',
    body: z
      .strictObject({
        ...place,
        questions: z
          .array(z.strictObject({ userId, connectorId, action: actionId }))
          .check(z.minLength(1), z.maxLength(100)),
      })
      .check(isOfServer),
    status: 200,
    /** In the order of the questions. */
    reply: z.object({ explanations: z.array(explanation) }),
    errors: ['NOT_FOUND'],
    audit: null,
    idempotent: true,
    db: 'plain',
  }),
};
