// Pure: the server's layer. Both shapes of restrictions, and the connectors that the server was given; all of them must agree.
import type { Restrictions } from '@mcp-valet/shared';
import {
  allowed,
  type Decision,
  deny,
  matchesPattern,
  noAction,
  noConnector,
  type RuleRef,
  type ServerRules,
  type Target,
  Unreadable,
  type UserRules,
} from './rules.ts';

interface Lists {
  mode: 'allowlist' | 'blocklist';
  allow: readonly string[] | undefined;
  block: readonly string[] | undefined;
}

/** Explicit deny, then allow, then the default of the mode. Undefined: allowed. Else the entry that blocks, or null: nothing allows it. */
function refusal(lists: Lists, matches: (entry: string) => boolean): string | null | undefined {
  const blocking = lists.block?.find(matches);
  if (blocking !== undefined) return blocking;
  if (lists.allow?.some(matches)) return undefined;
  // Any allow closes the default, also where a blocklist carries one.
  return lists.mode === 'blocklist' && !lists.allow?.length ? undefined : null;
}

const ref = (server: ServerRules, list: string, entry: string | null): RuleRef => ({
  layer: 'server',
  id: server.id,
  rule: entry === null ? null : `${list}: ${entry}`,
});

function decideUser(server: ServerRules, { users }: Restrictions, user: UserRules): Decision {
  if (users === undefined) return allowed;
  const isUser = (entry: string) => entry === user.id || entry === user.username;
  const entry = refusal({ mode: users.mode, allow: users.allowedIds, block: users.blockedIds }, isUser);
  if (entry === undefined) return allowed;
  const by = ref(server, 'users.blockedIds', entry);
  return deny(by, 'user_not_on_server', `User ${user.username} is not allowed on this server`);
}

function decideLists(server: ServerRules, { connectors, actions }: Restrictions, target: Target): Decision {
  if (connectors !== undefined) {
    const lists = { mode: connectors.mode, allow: connectors.allowedIds, block: connectors.blockedIds };
    const entry = refusal(lists, (one) => one === target.connector);
    if (entry !== undefined)
      return noConnector(ref(server, 'connectors.blockedIds', entry), 'connector_restricted', target);
  }
  if (actions === undefined) return allowed;
  if (target.action === undefined) {
    const isClosed = actions.mode !== 'blocklist' && !actions.allowedActions?.length;
    return isClosed ? noConnector(ref(server, '', null), 'action_restricted', target) : allowed;
  }
  const { action } = target;
  const qualified = `${target.connector}.${action}`;
  const lists = { mode: actions.mode, allow: actions.allowedActions, block: actions.blockedActions };
  const entry = refusal(lists, (one) => one === action || one === qualified);
  return entry === undefined
    ? allowed
    : noAction(ref(server, 'actions.blockedActions', entry), 'action_restricted', target);
}

function decidePermissions(
  server: ServerRules,
  permissions: NonNullable<Restrictions['permissions']>,
  target: Target,
): Decision {
  const own = permissions.filter((entry) => entry.connector === target.connector);
  const blocks = own.filter((entry) => entry.mode === 'block').flatMap((entry) => entry.actions);
  const allows = own.filter((entry) => entry.mode === 'allow');
  const closedByDefault = permissions.some((entry) => entry.mode === 'allow');
  const by = (pattern: string | null) => ref(server, `permissions: block ${target.connector}`, pattern);
  if (closedByDefault && allows.length === 0) return noConnector(by(null), 'connector_restricted', target);
  if (target.action === undefined) {
    if (blocks.includes('*')) return noConnector(by('*'), 'connector_restricted', target);
    const nothingAllowed = allows.length > 0 && allows.every((entry) => entry.actions.length === 0);
    return nothingAllowed ? noConnector(by(null), 'connector_restricted', target) : allowed;
  }
  const { action } = target;
  const blocking = blocks.find((pattern) => matchesPattern(pattern, action));
  if (blocking !== undefined) return noAction(by(blocking), 'action_restricted', target);
  if (!closedByDefault) return allowed;
  return allows.some((entry) => entry.actions.some((pattern) => matchesPattern(pattern, action)))
    ? allowed
    : noAction(by(null), 'action_restricted', target);
}

const readableKeys = new Set(['connectors', 'actions', 'users', 'permissions']);

/** What this code cannot read, it cannot obey. */
function mustBeReadable(restrictions: Restrictions): void {
  if (typeof restrictions !== 'object' || Array.isArray(restrictions)) throw new Unreadable();
  if (!Object.keys(restrictions).every((key) => readableKeys.has(key))) throw new Unreadable();
  if (restrictions.permissions?.every(({ mode }) => mode === 'allow' || mode === 'block') === false)
    throw new Unreadable();
}

/** Whether the user may use the server at all, whatever the connector. */
export function decideServerUser(server: ServerRules, user: UserRules): Decision {
  return server.restrictions ? decideUser(server, server.restrictions, user) : allowed;
}

export function decideServer(server: ServerRules, user: UserRules, target: Target): Decision {
  if (server.connectors !== null && !server.connectors.includes(target.connector)) {
    return noConnector(ref(server, '', null), 'connector_not_on_server', target);
  }
  const { restrictions } = server;
  if (restrictions === null) return allowed;
  mustBeReadable(restrictions);
  const byUser = decideUser(server, restrictions, user);
  if (!byUser.allowed) return byUser;
  const byLists = decideLists(server, restrictions, target);
  if (!byLists.allowed) return byLists;
  return restrictions.permissions === undefined ? allowed : decidePermissions(server, restrictions.permissions, target);
}
