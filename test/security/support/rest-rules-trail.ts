// Who may read the trail and its seals: a part of the table in `rest-rules`, by hand like the rest of it.
import type { Rule } from './rest-rule.ts';

const get = (
  route: Rule['route'],
  who: Rule['who'],
  path: Rule['path'],
  about: Rule['about'],
  note?: string,
): Rule => ({
  route,
  who,
  ok: 200,
  changes: false,
  about,
  method: 'GET',
  path,
  ...(note && { note }),
});

export const trailRules: readonly Rule[] = [
  get('audit.list', 'account', () => '/api/audit?limit=1000', null),
  get('audit.list', 'account', (s) => `/api/audit?userId=${s.userId}`, 'object', 'of a user'),
  get('audit.list', 'account', (s) => `/api/audit?actorUserId=${s.userId}`, 'object', 'by a user'),
  get('audit.verify', 'operator', () => '/api/audit/verify', null),
  get('audit.checkpoints', 'operator', () => '/api/audit/checkpoints', null),
  get('users.history', 'self', (s) => `/api/users/${s.userId}/history?limit=1000`, 'object'),
  get('calls.list', 'self', (s) => `/api/calls?limit=1000&userId=${s.userId}`, 'user-by-name'),
  get('calls.list', 'self', () => '/api/calls?limit=1000', null, 'of all that one may see'),
];
