// Groups: users who share rights, limits and credentials. A user may be in many; what they allow adds up, what any of them blocks is blocked.
import * as z from 'zod/mini';
import { opaqueId, pageQuery, pageReply, text, timestamp, userRef } from './primitives.ts';
import { access, accessRules } from './restrictions.ts';
import { route } from './route.ts';

export const group = z.object({
  groupId: z.string(),
  name: z.string(),
  description: z.nullable(z.string()),
  access,
  members: z.int(),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type Group = z.output<typeof group>;

const params = z.object({ groupId: opaqueId });
const memberParams = z.object({ groupId: opaqueId, userId: userRef });
const fields = {
  description: z.optional(z.nullable(text(2000))),
  access: z.optional(accessRules),
};
const membership = z.object({ groupId: z.string(), userId: z.string(), username: z.string(), addedAt: timestamp });

export const groupRoutes = {
  /** Creates a group. Without `access` it changes nobody's rights. */
  create: route({
    method: 'POST',
    path: '/api/groups',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Create a group',
    body: z.strictObject({
      name: text(100, 1),
      ...fields,
      /** Its first members. */
      userIds: z.optional(z.array(userRef).check(z.maxLength(1000))),
    }),
    status: 201,
    reply: group,
    errors: ['CONFLICT', 'USER_NOT_FOUND', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'group.create',
  }),
  /** The account's groups by name, or those of one user. */
  list: route({
    method: 'GET',
    path: '/api/groups',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List groups',
    query: z.strictObject({ ...pageQuery, userId: z.optional(userRef) }),
    status: 200,
    reply: z.object({ groups: z.array(group), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'groups',
  }),
  /** One group. */
  get: route({
    method: 'GET',
    path: '/api/groups/{groupId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get a group',
    params,
    status: 200,
    reply: group,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Changes the fields that are sent; `access` is replaced whole. In force at once, for lists and calls. */
  update: route({
    method: 'PATCH',
    path: '/api/groups/{groupId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Change a group',
    params,
    body: z.strictObject({ name: z.optional(text(100, 1)), ...fields }),
    status: 200,
    reply: group,
    errors: ['NOT_FOUND', 'CONFLICT'],
    audit: 'group.update',
  }),
  /** Deletes the group; its members stay users, its limits end, what was shared with it is shared no longer. */
  delete: route({
    method: 'DELETE',
    path: '/api/groups/{groupId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Delete a group',
    params,
    status: 200,
    reply: z.object({ status: z.literal('deleted'), groupId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'group.delete',
  }),
  /** The group's members, by username. */
  members: route({
    method: 'GET',
    path: '/api/groups/{groupId}/members',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List members of a group',
    params,
    query: z.strictObject(pageQuery),
    status: 200,
    reply: z.object({ members: z.array(membership), ...pageReply }),
    errors: ['NOT_FOUND'],
    audit: null,
    items: 'members',
  }),
  /** Puts a user into the group; being in it already is fine. */
  addMember: route({
    method: 'PUT',
    path: '/api/groups/{groupId}/members/{userId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Add a user to a group',
    params: memberParams,
    status: 200,
    reply: membership,
    errors: ['NOT_FOUND', 'USER_NOT_FOUND'],
    audit: 'group.add_member',
  }),
  /** Takes a user out of the group. */
  removeMember: route({
    method: 'DELETE',
    path: '/api/groups/{groupId}/members/{userId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Remove a user from a group',
    params: memberParams,
    status: 200,
    reply: z.object({ status: z.literal('removed'), groupId: z.string(), userId: z.string() }),
    errors: ['NOT_FOUND', 'USER_NOT_FOUND'],
    audit: 'group.remove_member',
  }),
};
