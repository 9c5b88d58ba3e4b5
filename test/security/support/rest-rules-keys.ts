// Who may do what about keys, delegated tokens, the end of a user and other accounts: a part of the table in `rest-rules`, by hand like the
// rest of it.
import type { Rule } from './rest-rule.ts';

type How = Pick<Rule, 'method' | 'path'> & Partial<Pick<Rule, 'ok' | 'body' | 'note'>>;
const rule = (route: Rule['route'], who: Rule['who'], about: Rule['about'], { ok = 200, ...how }: How): Rule => ({
  route,
  who,
  about,
  ok,
  changes: how.method !== 'GET',
  ...how,
});

export const keyRules: readonly Rule[] = [
  rule('keys.get', 'account', 'object', { method: 'GET', path: (s) => `/api/keys/${s.keyId}` }),
  rule('keys.update', 'account', 'object', {
    method: 'PATCH',
    path: (s) => `/api/keys/${s.keyId}`,
    body: () => ({ scopes: ['tools:call'] }),
  }),
  rule('keys.rotate', 'account', 'object', { ok: 201, method: 'POST', path: (s) => `/api/keys/${s.keyId}/rotate` }),

  rule('tokens.create', 'account', 'object', {
    ok: 201,
    method: 'POST',
    path: () => '/api/tokens',
    body: (s) => ({ userId: s.userId, servers: [s.serverId], ttlSeconds: 60, maxCalls: 1 }),
  }),
  rule('tokens.list', 'account', null, { method: 'GET', path: () => '/api/tokens?limit=1000' }),
  rule('tokens.list', 'account', 'object', {
    method: 'GET',
    path: (s) => `/api/tokens?userId=${s.userId}`,
    note: 'of a user',
  }),
  rule('tokens.get', 'account', 'object', { method: 'GET', path: (s) => `/api/tokens/${s.tokenId}` }),
  rule('tokens.delete', 'account', 'object', { method: 'DELETE', path: (s) => `/api/tokens/${s.tokenId}` }),

  rule('users.offboard', 'account', 'object', { method: 'POST', path: (s) => `/api/users/${s.userId}/offboard` }),

  // Whose they are does not matter: they are the operator's to manage.
  rule('accounts.get', 'operator', null, { method: 'GET', path: (s) => `/api/accounts/${s.spareAccounts.kept}` }),
  rule('accounts.update', 'operator', null, {
    method: 'PATCH',
    path: (s) => `/api/accounts/${s.spareAccounts.kept}`,
    body: () => ({ callsPerMinute: 100 }),
  }),
  rule('accounts.delete', 'operator', null, {
    method: 'DELETE',
    path: (s) => `/api/accounts/${s.spareAccounts.disabled}`,
  }),
];
