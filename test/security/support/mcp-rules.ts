// What an MCP request must come to: who it runs as, or how it is refused. Written from the contract's section 2 and mcp.md 2.1, not from
// the gateway's code. Pure.
import type { Identity } from './callers.ts';
import { type ServerName, type Username, usernames, type World } from './world.ts';

/** Which endpoint is asked: the aggregate one, a server of an account, or one that is not there. */
export type Place = { at: 'aggregate' } | { at: 'server'; account: 'a' | 'b'; server: ServerName } | { at: 'missing' };

/** How a request names its user in `x-alloy-userid`. */
export interface Naming {
  name: string;
  header: string | undefined;
  /** Whom it names, seen from account `a` and from account `b`; null: nobody that exists there. */
  a: Username | null;
  b: Username | null;
}

export type Verdict =
  | { kind: 'runs'; as: Username; account: 'a' | 'b' }
  /** Refused before any method: an HTTP status and, on signed-in requests, the word of the error table. */
  | { kind: 'refused'; status: number; code?: string }
  /** The server's own user list says no: a tool result with `isError`, or a JSON-RPC error of a list. */
  | { kind: 'not-on-server' };

export function namings(world: World): Naming[] {
  const same = (name: string, header: string | undefined, user: Username | null): Naming => ({
    name,
    header,
    a: user,
    b: user,
  });
  return [
    same('nobody', undefined, null),
    same('alice', 'alice', 'alice'),
    same('bob', 'bob', 'bob'),
    same('default', 'default', 'default'),
    same('a disabled user', 'dora', 'dora'),
    { name: 'alice of a by id', header: world.a.users.alice.id, a: 'alice', b: null },
    { name: 'carol of b by id', header: world.b.users.carol.id, a: null, b: 'carol' },
    same('an unknown user', 'nobody-here', null),
    same('alice in other letters', 'Alice', null),
    same('two users in one value', 'alice, bob', null),
    same('a malformed user', `x${'y'.repeat(200)}`, null),
    same('an empty user', '', null),
  ];
}

const unknownUser: Verdict = { kind: 'refused', status: 403, code: 'USER_NOT_FOUND' };
const forbidden: Verdict = { kind: 'refused', status: 403, code: 'FORBIDDEN' };

function runsAs(identity: Exclude<Identity, { kind: 'nobody' }>, naming: Naming): Verdict {
  const { account } = identity;
  const named = naming[account];
  const mayActFor = identity.kind === 'adm' || identity.kind === 'ent' || (identity.kind === 'url' && identity.acts);
  if (!mayActFor) {
    const own = identity.kind === 'std' ? identity.user : (identity as { owner: Username }).owner;
    return naming.header === undefined || named === own ? { kind: 'runs', as: own, account } : forbidden;
  }
  if (naming.header === undefined) return { kind: 'runs', as: 'default', account };
  if (named === null || !usernames.includes(named)) return unknownUser;
  return named === 'dora'
    ? { kind: 'refused', status: 403, code: 'USER_DISABLED' }
    : { kind: 'runs', as: named, account };
}

export function verdict(identity: Identity, place: Place, naming: Naming): Verdict {
  if (identity.kind === 'nobody') return { kind: 'refused', status: identity.refused };
  if (identity.kind === 'url') {
    const isOwn = place.at === 'server' && place.account === identity.account && place.server === identity.server;
    if (!isOwn) return { kind: 'refused', status: 401 };
  }
  if (place.at === 'missing' || (place.at === 'server' && place.account !== identity.account))
    return { kind: 'refused', status: 404, code: 'NOT_FOUND' };
  const run = runsAs(identity, naming);
  if (run.kind === 'runs' && place.at === 'server' && place.server === 'narrow' && run.as !== 'alice')
    return { kind: 'not-on-server' };
  return run;
}
