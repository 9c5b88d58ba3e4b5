// The gateway about itself: health, readiness, status, who am I, and its own description.
import * as z from 'zod/mini';
import { keyKinds } from './api-keys.ts';
import { jsonObject, timestamp } from './primitives.ts';
import { route } from './route.ts';

const windowLimit = z.object({ limit: z.int(), windowSeconds: z.int(), remaining: z.int() });

export const systemRoutes = {
  /** Whether the process answers. No authentication, no internals. */
  health: route({
    method: 'GET',
    path: '/health',
    access: ['public'],
    dialect: 'users',
    summary: 'Liveness, as the seed system names it',
    status: 200,
    reply: z.object({ status: z.literal('ok') }),
    errors: [],
    audit: null,
  }),
  /** Whether the process answers; never touches the database. */
  healthz: route({
    method: 'GET',
    path: '/healthz',
    access: ['public'],
    dialect: 'api',
    summary: 'Liveness',
    status: 200,
    reply: z.object({ status: z.literal('ok') }),
    errors: [],
    audit: null,
  }),
  /** Whether the gateway can serve: the database answers within a second and no shutdown is under way. */
  readyz: route({
    method: 'GET',
    path: '/readyz',
    access: ['public'],
    dialect: 'api',
    summary: 'Readiness',
    status: 200,
    reply: z.object({ status: z.literal('ready') }),
    errors: ['UNAVAILABLE'],
    audit: null,
  }),
  /** Version, uptime, database, upstreams as last seen, limits. */
  status: route({
    method: 'GET',
    path: '/status',
    access: ['adm', 'ent'],
    dialect: 'users',
    summary: 'State of the gateway',
    status: 200,
    reply: z.object({
      version: z.string(),
      uptime_seconds: z.int(),
      database: z.object({ kind: z.string(), ok: z.boolean() }),
      upstreams: z.array(
        z.object({
          connector_id: z.string(),
          state: z.string(),
          tools_age_ms: z.nullable(z.int()),
          last_error: z.optional(z.string()),
        }),
      ),
      limits: jsonObject,
    }),
    errors: [],
    audit: null,
    db: 'plain',
  }),
  /** Who this key is: its kind, account, own user and limits. */
  me: route({
    method: 'GET',
    path: '/api/me',
    access: ['adm', 'ent', 'std'],
    dialect: 'api',
    summary: 'Who am I',
    status: 200,
    reply: z.object({
      keyId: z.nullable(z.string()),
      /** `jwt`: a user token alone. */
      kind: z.enum([...keyKinds, 'jwt']),
      account: z.object({ accountId: z.string(), name: z.string() }),
      /** The user its calls run as when nobody is named; null: a key that is kept to some users and must name one. */
      effectiveUser: z.nullable(z.object({ userId: z.string(), username: z.string() })),
      mayActForUsers: z.boolean(),
      /** Scopes it holds; null: a key that nobody narrowed. */
      scopes: z.nullable(z.array(z.string())),
      expiresAt: z.nullable(timestamp),
      /** Of that user. */
      limits: z.nullable(z.object({ calls: windowLimit, lists: windowLimit })),
    }),
    errors: [],
    audit: null,
  }),
  /** This contract as an OpenAPI 3.1 document. */
  openapi: route({
    method: 'GET',
    path: '/openapi.json',
    access: ['public'],
    dialect: 'api',
    summary: 'OpenAPI 3.1 document of this gateway',
    status: 200,
    reply: z.looseObject({ openapi: z.string() }),
    errors: [],
    audit: null,
  }),
};
