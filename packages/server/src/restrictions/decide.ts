// Pure: rules + target -> Decision, no I/O, no clock. The one function that filters lists and guards calls of tools, resources,
// prompts and completions, so that what is listed is exactly what can be called.
//
// Layers (server, user; groups and keys join later) are ANDed: each must agree. Inside a layer an explicit deny beats an explicit allow,
// and an allow beats the default; the default is deny as soon as the layer has any allow. Anything unreadable denies.
import type { Restrictions } from '@mcp-valet/shared';

export interface ServerRules {
  /** Connectors that the server was given; null: every connector of the account. */
  connectors: readonly string[] | null;
  restrictions: Restrictions | null;
}
export interface UserRules {
  id: string;
  username: string;
  /** Empty: everything. */
  allowed: readonly string[];
  /** Always wins. */
  blocked: readonly string[];
}
export interface Rules {
  /** Null on the endpoints without a server: the aggregate `/mcp` and the direct tool call. */
  server: ServerRules | null;
  user: UserRules;
}
/** What is touched. Without `action` the question is whether the connector may be seen at all. */
export interface Target {
  connector: string;
  action?: string | undefined;
}

export type DenialReason =
  | 'user_not_on_server'
  | 'connector_not_on_server'
  | 'connector_restricted'
  | 'action_restricted'
  | 'connector_not_for_user'
  | 'rule_unreadable';
export type Decision = { allowed: true } | { allowed: false; reason: DenialReason; message: string };

const allowed: Decision = { allowed: true };
const deny = (reason: DenialReason, message: string): Decision => ({ allowed: false, reason, message });
const noConnector = (reason: DenialReason, target: Target) =>
  deny(reason, `Connector ${target.connector} is not allowed`);
const noAction = (target: Target) =>
  target.action === undefined
    ? noConnector('action_restricted', target)
    : deny('action_restricted', `Action ${target.action} is not allowed for connector ${target.connector}`);

interface Lists {
  mode: 'allowlist' | 'blocklist';
  allow: readonly string[] | undefined;
  block: readonly string[] | undefined;
}

/** Explicit deny, then allow, then the default of the mode. */
function listed(lists: Lists, matches: (entry: string) => boolean): boolean {
  if (lists.block?.some(matches)) return false;
  if (lists.allow?.some(matches)) return true;
  // Any allow closes the default, also where a blocklist carries one.
  return lists.mode === 'blocklist' && !lists.allow?.length;
}

function decideUser(restrictions: Restrictions, user: UserRules): Decision {
  const rule = restrictions.users;
  if (rule === undefined) return allowed;
  const isUser = (entry: string) => entry === user.id || entry === user.username;
  if (listed({ mode: rule.mode, allow: rule.allowedIds, block: rule.blockedIds }, isUser)) return allowed;
  return deny('user_not_on_server', `User ${user.username} is not allowed on this server`);
}

function decideLists(restrictions: Restrictions, target: Target): Decision {
  const { connectors, actions } = restrictions;
  if (connectors !== undefined) {
    const lists = { mode: connectors.mode, allow: connectors.allowedIds, block: connectors.blockedIds };
    if (!listed(lists, (entry) => entry === target.connector)) return noConnector('connector_restricted', target);
  }
  if (actions === undefined) return allowed;
  if (target.action === undefined) {
    const isClosed = actions.mode !== 'blocklist' && !actions.allowedActions?.length;
    return isClosed ? noConnector('action_restricted', target) : allowed;
  }
  const { action } = target;
  const qualified = `${target.connector}.${action}`;
  const lists = { mode: actions.mode, allow: actions.allowedActions, block: actions.blockedActions };
  return listed(lists, (entry) => entry === action || entry === qualified) ? allowed : noAction(target);
}

/** `*` at the end matches any rest; anywhere else it is an ordinary character. */
const matchesPattern = (pattern: string, action: string): boolean =>
  pattern.endsWith('*') ? action.startsWith(pattern.slice(0, -1)) : pattern === action;

function decidePermissions(permissions: NonNullable<Restrictions['permissions']>, target: Target): Decision {
  const own = permissions.filter((entry) => entry.connector === target.connector);
  const blocks = own.filter((entry) => entry.mode === 'block').flatMap((entry) => entry.actions);
  const allows = own.filter((entry) => entry.mode === 'allow');
  const closedByDefault = permissions.some((entry) => entry.mode === 'allow');
  if (closedByDefault && allows.length === 0) return noConnector('connector_restricted', target);
  if (target.action === undefined) {
    const nothingLeft =
      blocks.includes('*') || (allows.length > 0 && allows.every((entry) => entry.actions.length === 0));
    return nothingLeft ? noConnector('connector_restricted', target) : allowed;
  }
  const { action } = target;
  if (blocks.some((pattern) => matchesPattern(pattern, action))) return noAction(target);
  if (!closedByDefault) return allowed;
  return allows.some((entry) => entry.actions.some((pattern) => matchesPattern(pattern, action)))
    ? allowed
    : noAction(target);
}

const readableKeys = new Set(['connectors', 'actions', 'users', 'permissions']);

/** Whether this code knows everything that the stored rule says: what it cannot read, it cannot obey. */
function isReadable(restrictions: Restrictions): boolean {
  if (typeof restrictions !== 'object' || Array.isArray(restrictions)) return false;
  if (!Object.keys(restrictions).every((key) => readableKeys.has(key))) return false;
  return restrictions.permissions?.every(({ mode }) => mode === 'allow' || mode === 'block') ?? true;
}

function decideServer(server: ServerRules, user: UserRules, target: Target): Decision {
  if (server.connectors !== null && !server.connectors.includes(target.connector)) {
    return noConnector('connector_not_on_server', target);
  }
  const { restrictions } = server;
  if (restrictions === null) return allowed;
  if (!isReadable(restrictions)) return noConnector('rule_unreadable', target);
  const byUser = decideUser(restrictions, user);
  if (!byUser.allowed) return byUser;
  const byLists = decideLists(restrictions, target);
  if (!byLists.allowed) return byLists;
  return restrictions.permissions === undefined ? allowed : decidePermissions(restrictions.permissions, target);
}

function decideAccess(user: UserRules, target: Target): Decision {
  if (user.blocked.includes(target.connector)) return noConnector('connector_not_for_user', target);
  if (user.allowed.length > 0 && !user.allowed.includes(target.connector))
    return noConnector('connector_not_for_user', target);
  return allowed;
}

/** Whether this user may touch this target here, and if not, why. */
export function decide(rules: Rules, target: Target): Decision {
  try {
    const byServer = rules.server === null ? allowed : decideServer(rules.server, rules.user, target);
    return byServer.allowed ? decideAccess(rules.user, target) : byServer;
  } catch {
    // A stored rule that this code cannot read must not open the door.
    return noConnector('rule_unreadable', target);
  }
}

/** Whether the user may use the server at all, whatever the connector. */
export function decideServerUser(rules: Rules): Decision {
  const restrictions = rules.server?.restrictions;
  return restrictions ? decideUser(restrictions, rules.user) : allowed;
}
