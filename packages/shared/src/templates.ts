// The grammar of `inject` templates: `{{NAME}}`. Filling them is the gateway's business; which names they ask for is the contract's.
import type { ConnectorKind, Inject } from './connectors.ts';

/** A placeholder, with its name as the first group. Global: use `replace` and `matchAll`. */
export const placeholder = /\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}/g;

/** Names that a template asks for, in order. */
export function templateNames(template: string): string[] {
  return [...template.matchAll(placeholder)].map((match) => match[1] ?? '');
}

/** Only a verified identity fills these, never a secret that somebody gave such a name. */
export const isIdentityName = (name: string): boolean => name.startsWith('user.') || name.startsWith('claims.');

/** Names of the secrets, not of the identity, that an `inject` needs. */
export function neededSecrets(inject: Inject | null): string[] {
  if (inject === null) return [];
  const { headers, query, args, env } = inject;
  const templates = [headers, query, args, env].flatMap((slot) => (slot === 'all' ? [] : Object.values(slot ?? {})));
  return [...new Set(templates.flatMap(templateNames))].filter((name) => !isIdentityName(name));
}

/** Names under which the tokens of an oauth2 credential are stored among its secrets: `{{oauth.access_token}}` is a template like any other. */
export const oauthSecrets = {
  access: 'oauth.access_token',
  refresh: 'oauth.refresh_token',
  id: 'oauth.id_token',
} as const;

/** Whether the name is the gateway's own: nobody else may set such a secret. */
export const isOAuthSecret = (name: string): boolean => name.startsWith('oauth.');

/**
 * Where secrets go when the connector does not say: the token of who signed in with OAuth into `Authorization`; else into the environment of a
 * child process, or the arguments of an MCP tool. A REST connector keeps null: its document says where.
 */
export function injectOf(connector: { kind: ConnectorKind; inject: Inject | null; oauth: unknown }): Inject | null {
  const { kind, inject, oauth } = connector;
  if (inject !== null || kind === 'http') return inject;
  if (oauth !== null) return { headers: { authorization: `Bearer {{${oauthSecrets.access}}}` } };
  return kind === 'mcp-stdio' ? { env: 'all' } : { args: 'all' };
}
