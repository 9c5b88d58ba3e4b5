// Who may do what about groups and rights: a part of the table in `rest-rules`, by hand like the rest of it.
import type { Rule, Subject } from './rest-rule.ts';

const rule = (
  route: Rule['route'],
  method: string,
  path: Rule['path'],
  about: Rule['about'],
  more: Partial<Rule> = {},
): Rule => ({ route, who: 'account', ok: 200, changes: method !== 'GET', about, method, path, ...more });
const group = (s: Subject) => `/api/groups/${s.groupId}`;
const member = (s: Subject) => `${group(s)}/members/${s.userId}`;
const drafted = (s: Subject) => ({ serverId: s.serverId, draft: { restrictions: null } });
const access = (s: Subject) => `/api/users/${s.userId}/access`;

export const policyRules: readonly Rule[] = [
  rule('groups.create', 'POST', () => '/api/groups', null, { ok: 201, body: (s) => ({ name: s.unique }) }),
  rule('groups.create', 'POST', () => '/api/groups', 'object', {
    ok: 201,
    note: 'with a member',
    body: (s) => ({ name: s.unique, userIds: [s.userId] }),
  }),
  rule('groups.list', 'GET', () => '/api/groups?limit=1000', null),
  rule('groups.list', 'GET', (s) => `/api/groups?userId=${s.userId}`, 'object', { note: 'of a user' }),
  rule('groups.get', 'GET', group, 'object'),
  rule('groups.update', 'PATCH', group, 'object', { body: () => ({ description: 'changed' }) }),
  rule('groups.delete', 'DELETE', group, 'object'),
  rule('groups.members', 'GET', (s) => `${group(s)}/members`, 'object'),
  rule('groups.addMember', 'PUT', member, 'object'),
  rule('groups.removeMember', 'DELETE', member, 'object'),
  rule('users.getAccess', 'GET', access, 'object', { who: 'self' }),
  rule('users.replaceAccess', 'PUT', access, 'object', { body: () => ({ blocked: ['demo'] }) }),
  rule('policy.explain', 'POST', () => '/api/explain', null, {
    changes: false,
    body: () => ({ connectorId: 'demo', action: 'whoami' }),
  }),
  rule('policy.explain', 'POST', () => '/api/explain', 'object', {
    note: 'as a key',
    changes: false,
    body: (s) => ({ keyId: s.keyId, connectorId: 'demo', action: 'whoami' }),
  }),
  rule('policy.explain', 'POST', () => '/api/explain', 'object', {
    note: 'by a draft',
    changes: false,
    body: (s) => ({ ...drafted(s), connectorId: 'demo', action: 'whoami' }),
  }),
  rule('policy.explainMany', 'POST', () => '/api/explain/many', null, {
    changes: false,
    body: () => ({ questions: [{ connectorId: 'demo', action: 'whoami' }] }),
  }),
  rule('policy.explainMany', 'POST', () => '/api/explain/many', 'object', {
    note: 'by a draft',
    changes: false,
    body: (s) => ({ ...drafted(s), questions: [{ connectorId: 'demo', action: 'whoami' }] }),
  }),
];
