// Settings of one account that no other noun owns: where sign-ins may return to, and who is told when a credential changes.
import * as z from 'zod/mini';
import { text, timestamp } from './primitives.ts';
import { route } from './route.ts';

const redirectUri = text(2048, 1);

export const settings = z.object({
  /** Where the browser may return to after a sign-in: exact addresses, https or loopback. */
  redirectUris: z.array(z.string()),
  /** Receives `credential.status_changed`, signed as Standard Webhooks describes; null: nobody is told. */
  webhookUrl: z.nullable(z.string()),
  /** Shown once, when the webhook is set: base64 key of the signatures, `whsec_…`. */
  webhookSecret: z.optional(z.string()),
  updatedAt: z.nullable(timestamp),
});
export type Settings = z.output<typeof settings>;

export const settingsRoutes = {
  /** The account's settings. */
  get: route({
    method: 'GET',
    path: '/api/settings',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get the account’s settings',
    status: 200,
    reply: settings,
    errors: [],
    audit: null,
  }),
  /** Changes the fields that are sent; lists are replaced whole. Setting `webhookUrl` makes a new signing key, which only this answer shows. */
  update: route({
    method: 'PUT',
    path: '/api/settings',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Change the account’s settings',
    body: z.strictObject({
      redirectUris: z.optional(z.array(redirectUri).check(z.maxLength(100))),
      webhookUrl: z.optional(z.nullable(text(2048, 1))),
    }),
    status: 200,
    reply: settings,
    errors: [],
    audit: 'settings.update',
    oneTime: ['webhookSecret'],
  }),
};
