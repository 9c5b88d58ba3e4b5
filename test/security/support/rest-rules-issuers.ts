// Who may do what about issuers of user tokens and who their subjects are: a part of the table in `rest-rules`, by hand like the rest of it.
import type { Rule } from './rest-rule.ts';

const rule = (
  route: Rule['route'],
  who: Rule['who'],
  about: Rule['about'],
  how: Omit<Rule, 'route' | 'who' | 'about' | 'changes'>,
): Rule => ({
  route,
  who,
  about,
  changes: how.method !== 'GET',
  ...how,
});

export const issuerRules: readonly Rule[] = [
  rule('issuers.create', 'account', null, {
    ok: 201,
    method: 'POST',
    path: () => '/api/issuers',
    body: (s) => ({
      type: 'jwt',
      name: s.unique,
      issuer: `https://${s.unique}.test`,
      audience: ['valet'],
      sharedSecret: true,
    }),
  }),
  rule('issuers.list', 'account', null, { ok: 200, method: 'GET', path: () => '/api/issuers' }),
  rule('issuers.get', 'account', 'object', { ok: 200, method: 'GET', path: (s) => `/api/issuers/${s.issuerId}` }),
  rule('issuers.update', 'account', 'object', {
    ok: 200,
    method: 'PATCH',
    path: (s) => `/api/issuers/${s.issuerId}`,
    body: () => ({ clockToleranceSeconds: 10 }),
  }),
  rule('issuers.delete', 'account', 'object', { ok: 200, method: 'DELETE', path: (s) => `/api/issuers/${s.issuerId}` }),
  rule('issuers.revokeToken', 'account', 'object', {
    ok: 200,
    method: 'POST',
    path: (s) => `/api/issuers/${s.issuerId}/revoked-tokens`,
    body: (s) => ({ tokenId: s.unique }),
  }),
  rule('identities.create', 'account', 'object', {
    ok: 201,
    method: 'POST',
    path: () => '/api/identities',
    body: (s) => ({ issuerId: s.issuerId, subject: s.unique, userId: s.userId }),
  }),
  rule('identities.list', 'account', null, { ok: 200, method: 'GET', path: () => '/api/identities' }),
  rule('identities.list', 'account', 'object', {
    note: 'of a user',
    ok: 200,
    method: 'GET',
    path: (s) => `/api/identities?userId=${s.userId}`,
  }),
  // In the world every user is the subject of its own id.
  rule('identities.delete', 'account', 'object', {
    ok: 200,
    method: 'DELETE',
    path: (s) => `/api/identities/${s.issuerId}/${s.userId}`,
  }),
  rule('users.signOut', 'self', 'object', {
    ok: 200,
    method: 'POST',
    path: (s) => `/api/users/${s.userId}/sign-out`,
  }),
];
