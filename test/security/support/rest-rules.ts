// Who may do what on which REST route: the contract's sections 2 and 3 as a table, written by hand. Deliberately not derived from the
// route definitions or the gateway's code: where the two disagree, one of them is wrong and ISO-1 says so.
import type { Identity } from './callers.ts';
import { change, get, q, type Rule, type Subject, type Who } from './rest-rule.ts';
import { issuerRules } from './rest-rules-issuers.ts';
import { keyRules } from './rest-rules-keys.ts';
import { limitRules } from './rest-rules-limits.ts';
import { policyRules } from './rest-rules-policy.ts';
import { trailRules } from './rest-rules-trail.ts';

const url = 'http://127.0.0.1:9/mcp';
const secret = (s: Subject) => ({ username: s.userId, serverName: 'demo', secretName: s.secretName });

export const restRules: readonly Rule[] = [
  change(
    'servers.create',
    'account',
    201,
    null,
    'POST',
    () => '/api/servers',
    (s) => ({ name: s.unique }),
  ),
  get('servers.list', 'account', () => '/api/servers'),
  get('servers.get', 'account', (s) => `/api/servers/${s.serverId}`, 'object'),
  change(
    'servers.update',
    'account',
    200,
    'object',
    'PUT',
    (s) => `/api/servers/${s.serverId}`,
    () => ({ description: 'changed' }),
  ),
  change('servers.delete', 'account', 200, 'object', 'DELETE', (s) => `/api/servers/${s.serverId}`),
  change(
    'servers.rotateToken',
    'account',
    201,
    'object',
    'POST',
    (s) => `/api/servers/${s.serverId}/token`,
    () => ({}),
  ),

  change(
    'users.create',
    'account',
    201,
    null,
    'POST',
    () => '/users',
    (s) => ({ username: s.unique }),
  ),
  get('users.list', 'account', () => '/users'),
  get('users.get', 'self', (s) => `/users/${s.userId}`, 'object'),
  change('users.delete', 'account', 200, 'object', 'DELETE', (s) => `/users/${s.userId}`),
  change(
    'users.setEnabled',
    'account',
    200,
    'object',
    'PATCH',
    (s) => `/users/${s.userId}/enable`,
    () => ({ enabled: false }),
  ),
  change(
    'users.setAccess',
    'account',
    200,
    'object',
    'PUT',
    (s) => `/users/${s.userId}/mcp-access`,
    () => ({ blocked_mcps: ['demo'] }),
  ),

  change(
    'keys.create',
    'account',
    201,
    'object',
    'POST',
    (s) => `/users/${s.userId}/keys`,
    (s) => ({ key_name: s.unique }),
    'standard',
  ),
  change(
    'keys.create',
    'admin',
    201,
    'object',
    'POST',
    (s) => `/users/${s.userId}/keys`,
    (s) => ({ key_name: s.unique, kind: 'enterprise' }),
    'enterprise',
  ),
  change(
    'keys.revoke',
    'account',
    200,
    'object',
    'POST',
    () => '/keys/revoke',
    (s) => ({ key_id: s.keyId }),
  ),
  get('keys.list', 'account', () => '/api/keys'),
  get('keys.list', 'account', (s) => `/api/keys?userId=${s.userId}`, 'object', 'of a user'),
  change('keys.delete', 'account', 200, 'object', 'DELETE', (s) => `/api/keys/${s.keyId}`),

  change(
    'secrets.set',
    'self',
    200,
    'user-by-name',
    'POST',
    () => '/secrets/set',
    (s) => ({ ...secret(s), secretValue: `set-${s.unique}` }),
  ),
  change('secrets.delete', 'self', 200, 'user-by-name', 'POST', () => '/secrets/delete', secret),
  get('secrets.list', 'self', (s) => `/secrets?serverName=demo&username=${s.userId}`, 'user-by-name'),
  get('secrets.list', 'self', () => '/secrets?serverName=demo', null, 'of oneself'),

  change(
    'tools.call',
    'self',
    200,
    'user-by-name',
    'POST',
    () => '/mcp/tool/call',
    (s) => ({
      username: s.userId,
      serverName: 'demo',
      methodName: 'whoami',
      args: { marker: s.unique },
    }),
  ),
  change(
    'tools.call',
    'self',
    200,
    null,
    'POST',
    () => '/mcp/tool/call',
    (s) => ({ serverName: 'demo', methodName: 'whoami', args: { marker: s.unique } }),
    'as oneself',
  ),

  change(
    'connectors.create',
    'account',
    201,
    null,
    'POST',
    () => '/api/connectors',
    (s) => ({ connectorId: s.unique, kind: 'mcp-http', url }),
  ),
  get('connectors.list', 'account', () => '/api/connectors'),
  get('connectors.get', 'account', (s) => `/api/connectors/${s.connectorId}`, 'object'),
  get(
    'connectors.get',
    'account',
    (s) => `/api/connectors/${s.connectorId}?userId=${s.userId}`,
    'object',
    'as a user sees it',
  ),
  change(
    'connectors.update',
    'account',
    200,
    'object',
    'PUT',
    (s) => `/api/connectors/${s.connectorId}`,
    () => ({ description: 'changed' }),
  ),
  change('connectors.delete', 'account', 200, 'object', 'DELETE', (s) => `/api/connectors/${s.connectorId}`),
  change('connectors.refresh', 'account', 200, 'object', 'POST', (s) => `/api/connectors/${s.connectorId}/refresh`),
  get('connectors.actions', 'account', (s) => `/api/connectors/${s.connectorId}/actions?userId=${s.userId}`, 'object'),

  change(
    'credentials.create',
    'self',
    201,
    'user-by-name',
    'POST',
    () => '/api/credentials',
    (s) => ({
      userId: s.userId,
      connectorId: 'demo',
      authenticationType: 'secrets',
      fields: { TOKEN: `made-${s.unique}` },
      isDefault: false,
    }),
  ),
  get('credentials.list', 'self', (s) => `/api/credentials?userId=${s.userId}`, 'user-by-name'),
  get('credentials.list', 'self', () => '/api/credentials', null, 'of all that one may see'),
  get('credentials.get', 'self', (s) => `/api/credentials/${q(s.credentialId)}`, 'object'),
  change(
    'credentials.update',
    'self',
    200,
    'object',
    'PATCH',
    (s) => `/api/credentials/${q(s.credentialId)}`,
    () => ({ label: 'changed' }),
  ),
  change('credentials.connect', 'self', 201, 'object', 'POST', (s) => `/api/credentials/${q(s.credentialId)}/connect`),
  change(
    'credentials.ticket',
    'account',
    201,
    'object',
    'POST',
    () => '/api/connect/tickets',
    ({ connectUrl, userId }) => ({ connectUrl, userId }),
  ),
  change('credentials.delete', 'self', 200, 'object', 'DELETE', (s) => `/api/credentials/${q(s.credentialId)}`),
  get('settings.get', 'account', () => '/api/settings'),
  change(
    'settings.update',
    'account',
    200,
    null,
    'PUT',
    () => '/api/settings',
    (s) => ({ redirectUris: [`https://app.example/${s.unique}`] }),
  ),

  ...limitRules,
  ...policyRules,
  ...trailRules,
  ...issuerRules,
  ...keyRules,
  change(
    'accounts.create',
    'operator',
    201,
    null,
    'POST',
    () => '/api/accounts',
    (s) => ({ name: s.unique }),
  ),
  get('accounts.list', 'operator', () => '/api/accounts'),

  get('system.health', 'public', () => '/health'),
  get('system.healthz', 'public', () => '/healthz'),
  get('system.readyz', 'public', () => '/readyz'),
  get('system.openapi', 'public', () => '/openapi.json'),
  get('system.status', 'account', () => '/status'),
  get('system.me', 'self', () => '/api/me'),
];

function mayUse(who: Who, identity: Exclude<Identity, { kind: 'nobody' }>): boolean {
  switch (who) {
    case 'public':
      return true;
    case 'operator':
      return identity.kind === 'adm' && identity.account === 'a';
    case 'admin':
      return identity.kind === 'adm';
    case 'account':
      return identity.kind === 'adm' || identity.kind === 'ent';
    case 'self':
      return identity.kind !== 'url';
  }
}

/** The status that the contract demands. */
export function expectedStatus(rule: Rule, identity: Identity, subject: Subject): number {
  if (rule.who === 'public') return rule.ok;
  if (identity.kind === 'nobody') return identity.refused;
  if (!mayUse(rule.who, identity)) return 403;
  if (rule.about === null) return rule.ok;
  if (identity.kind !== 'std') return subject.account === identity.account ? rule.ok : 404;
  const isOwn = subject.account === identity.account && subject.user === identity.user;
  // Naming somebody else is forbidden, whoever it is; an object of somebody else does not exist.
  return isOwn ? rule.ok : rule.about === 'user-by-name' ? 403 : 404;
}
