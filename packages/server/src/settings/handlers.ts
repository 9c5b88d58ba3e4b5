// How people manage an account's settings: where sign-ins may return to, and the webhook. A signing key is shown by the reply that made it only.
import type { Contract, Settings } from '@mcp-valet/shared';
import type { Ctx, Handler } from '../context.ts';
import { newWebhookSecret } from '../crypto/webhook-signature.ts';
import { Refusal } from '../refusal.ts';
import { redirectUriProblem } from './redirect-uri.ts';
import { findSettings, type SettingsChanges, type SettingsRow, saveSettings } from './store.ts';

type Routes = Contract['settings'];

const shown = (row: SettingsRow | undefined): Settings => ({
  redirectUris: row?.redirectUris ?? [],
  webhookUrl: row?.webhookUrl ?? null,
  updatedAt: row?.updatedAt.toISOString() ?? null,
});

const get: Handler<Routes['get']> = async (_input, ctx) => shown(await findSettings(ctx.db, ctx.principal.accountId));

const update: Handler<Routes['update']> = async ({ body }, ctx) => {
  const { accountId } = ctx.principal;
  ctx.note({ target: accountId });
  const changes: SettingsChanges = {};
  const issues: { path: string; message: string }[] = [];
  if (body.redirectUris !== undefined) {
    changes.redirectUris = [...new Set(body.redirectUris)];
    for (const [at, uri] of body.redirectUris.entries()) {
      const message = redirectUriProblem(uri);
      if (message !== undefined) issues.push({ path: `redirectUris.${at}`, message });
    }
  }
  let webhookSecret: string | undefined;
  if (body.webhookUrl === null) Object.assign(changes, { webhookUrl: null, webhookSecret: null });
  else if (body.webhookUrl !== undefined) {
    const url = checkedUrl(ctx, body.webhookUrl, issues);
    webhookSecret = newWebhookSecret();
    changes.webhookUrl = url;
    changes.webhookSecret = ctx.parts.keyring.sealState(Buffer.from(webhookSecret), 'webhook', accountId);
  }
  const [first] = issues;
  if (first !== undefined)
    throw new Refusal('INVALID_REQUEST', `Invalid request: ${first.path}: ${first.message}`, { details: { issues } });
  const row = await saveSettings(ctx.db, accountId, changes);
  ctx.note({
    target: accountId,
    details: {
      ...(changes.redirectUris && { redirect_uris: changes.redirectUris.length }),
      ...(body.webhookUrl !== undefined && { webhook: body.webhookUrl === null ? 'removed' : 'set' }),
    },
  });
  return { ...shown(row), ...(webhookSecret !== undefined && { webhookSecret }) };
};

function checkedUrl(ctx: Ctx, text: string, issues: { path: string; message: string }[]): string {
  try {
    return ctx.parts.egress.check(text).href;
  } catch (error) {
    // The guard's sentences are written for people and quote nothing.
    if (!(error instanceof Error) || error.name !== 'EgressError') throw error;
    issues.push({ path: 'webhookUrl', message: error.message });
    return text;
  }
}

export const settingsHandlers = { get, update } satisfies { [M in keyof Routes]: Handler<Routes[M]> };
