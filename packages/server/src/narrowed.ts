// What a narrowed key may do on management routes, and what it may give away: never more than it holds. Pure: no I/O.
// A key is narrowed by scopes (what it may do) or by users (whom it may name). The users are also a wall in the database: its transactions
// see the rows of these users and of nobody else. Here is only what no row says.
import type { RouteDefinition, RouteId } from '@mcp-valet/shared';
import { holdsScope, type Principal } from './identity/principal.ts';
import { Refusal } from './refusal.ts';

/** May always be asked: who am I. */
const unscoped = new Set<RouteId>(['system.me']);

/** Nouns of which a key that is kept to some users may change things: each of these belongs to one user. */
const perUser = new Set(['users', 'keys', 'tokens', 'secrets', 'credentials', 'policy', 'tools']);
/** Whoever comes new is none of its users. */
const notForSome = new Set<RouteId>(['users.create']);

/** Routes that hand out, or decide about, ways to call tools: whoever may not call could otherwise help itself. */
const givesCalls = new Set<RouteId>([
  'servers.create',
  'servers.rotateToken',
  'tokens.create',
  'issuers.create',
  'issuers.update',
  'identities.create',
]);

const isRead = ({ method, audit }: RouteDefinition): boolean => method === 'GET' || audit === null;

/** The scopes that a route asks of a narrowed key. */
export function scopesOf(id: RouteId, route: RouteDefinition): string[] {
  if (unscoped.has(id)) return [];
  const [noun] = id.split('.');
  const own = `${noun}:${isRead(route) ? 'read' : 'write'}`;
  if (id === 'accounts.create') return [own, '*'];
  return givesCalls.has(id) ? [own, 'tools:call'] : [own];
}

const insufficient = (requiredScopes: string[]): Refusal =>
  new Refusal('INSUFFICIENT_SCOPE', `This key lacks the scope ${requiredScopes.join(', ')}`, {
    reason: 'insufficient_scope',
    details: { requiredScopes },
  });

/** Refuses what a narrowed key may not do on this route. */
export function assertNotNarrowed(principal: Principal, id: RouteId, route: RouteDefinition): void {
  const { scopes, allowedUsers } = principal;
  // Scopes of a user token are about tools; whoever signs in with it manages nothing but itself.
  if (scopes !== null && principal.kind !== 'jwt') {
    const missing = scopesOf(id, route).filter((scope) => !holdsScope(scopes, scope));
    if (missing.length > 0) throw insufficient(missing);
  }
  if (allowedUsers === null || isRead(route)) return;
  const [noun = ''] = id.split('.');
  if (perUser.has(noun) && !notForSome.has(id)) return;
  throw new Refusal('FORBIDDEN', 'This key is kept to some users and may not change what concerns others', {
    reason: 'users_narrowed',
  });
}

/** Rights of a key that is to be made, changed or replaced. */
export interface Rights {
  scopes: readonly string[] | null;
  allowedUsers: readonly string[] | null;
}

const wider = (message: string): Refusal => new Refusal('FORBIDDEN', message, { reason: 'wider_than_minter' });

/** Refuses to give scopes that the principal does not hold. A key that nobody narrowed may give any. */
export function assertHolds({ scopes }: Principal, wanted: readonly string[] | null): void {
  if (scopes === null) return;
  if (wanted === null) throw wider('This key has scopes: name those of the other, among its own');
  const missing = wanted.filter((scope) => !holdsScope(scopes, scope));
  if (missing.length > 0) throw insufficient(missing);
}

/** Refuses rights that are wider than the principal's own. `actsForOthers`: of a kind that may name users. */
export function assertCovers(principal: Principal, wanted: Rights, actsForOthers: boolean): void {
  assertHolds(principal, wanted.scopes);
  const { allowedUsers } = principal;
  // Of a key that speaks for its own user only, the user is what counts, and the scope of the request has seen to that.
  if (allowedUsers === null || !actsForOthers) return;
  const isWithin = wanted.allowedUsers?.every((id) => allowedUsers.includes(id)) ?? false;
  if (!isWithin) throw wider('This key is kept to some users: name those of the other, among its own');
}
