// Pure: the layers of the user, of all its groups together, and of the key. What the sources of a layer allow adds up, what any of them blocks
// is blocked, and as soon as one of them allows anything, what none allows is closed.
import {
  type AccessRules,
  allowed,
  type Decision,
  type DenialReason,
  deny,
  type KeyRules,
  listOf,
  matchesPattern,
  noAction,
  noConnector,
  type RuleRef,
  type Target,
  Unreadable,
} from './rules.ts';

type AccessLayer = 'user' | 'group' | 'key';
const reasons: Record<AccessLayer, { connector: DenialReason; action: DenialReason }> = {
  user: { connector: 'connector_not_for_user', action: 'action_not_for_user' },
  group: { connector: 'connector_not_for_group', action: 'action_not_for_group' },
  key: { connector: 'connector_not_for_key', action: 'action_not_for_key' },
};

/** The pattern that covers the action; without an action, one that covers all of them. */
const covering = (patterns: readonly string[], { action }: Target): string | undefined =>
  listOf(patterns).find((pattern) => (action === undefined ? pattern === '*' : matchesPattern(pattern, action)));

const noTarget = (by: RuleRef, layer: AccessLayer, target: Target): Decision =>
  noAction(by, reasons[layer][target.action === undefined ? 'connector' : 'action'], target);

function blockedBy(layer: AccessLayer, source: AccessRules, target: Target): Decision {
  const by = (rule: string): RuleRef => ({ layer, id: source.id, rule });
  const { connector } = target;
  if (listOf(source.blocked).includes(connector))
    return noConnector(by(`blocked: ${connector}`), reasons[layer].connector, target);
  for (const { connector: one, mode, actions } of listOf(source.permissions)) {
    if (mode !== 'allow' && mode !== 'block') throw new Unreadable();
    if (mode !== 'block' || one !== connector) continue;
    const pattern = covering(actions, target);
    if (pattern !== undefined) return noTarget(by(`permissions: block ${connector} ${pattern}`), layer, target);
  }
  return allowed;
}

/** How far a source opens a target: its action, its connector only, or neither. */
function opens({ allowed: ids, permissions }: AccessRules, target: Target): 'action' | 'connector' | null {
  if (listOf(ids).includes(target.connector)) return 'action';
  let isNamed = false;
  for (const { connector, mode, actions } of permissions) {
    if (mode !== 'allow' || connector !== target.connector) continue;
    isNamed = true;
    // A connector is there to be seen as soon as one of its actions may be called.
    if (target.action === undefined ? actions.length > 0 : covering(actions, target) !== undefined) return 'action';
  }
  return isNamed ? 'connector' : null;
}

const isSilent = ({ allowed: ids, blocked, permissions }: AccessRules): boolean =>
  ids.length === 0 && blocked.length === 0 && permissions.length === 0;

/** One layer made of several sources. */
export function decideAccess(layer: AccessLayer, sources: readonly AccessRules[], target: Target): Decision {
  // Most users and groups have no rules, and lists ask about every entry.
  if (sources.every(isSilent)) return allowed;
  let isClosed = false;
  let isOpen = false;
  let isNamed = false;
  for (const source of sources) {
    const verdict = blockedBy(layer, source, target);
    if (!verdict.allowed) return verdict;
    isClosed ||= source.allowed.length > 0 || source.permissions.some(({ mode }) => mode === 'allow');
    const reach = opens(source, target);
    isOpen ||= reach === 'action';
    isNamed ||= reach === 'connector';
  }
  if (isOpen || !isClosed) return allowed;
  const only = sources.length === 1 ? sources[0] : undefined;
  const by: RuleRef = { layer, id: only?.id ?? null, rule: null };
  return isNamed ? noTarget(by, layer, target) : noConnector(by, reasons[layer].connector, target);
}

/** Whether the key may be used on this endpoint to call anything at all. */
export function decideKeyEntry(key: KeyRules, serverId: string | null): Decision {
  const { id, mayCall, servers } = key;
  if (!mayCall) {
    const scopes = { required: ['tools:call'], missing: ['tools:call'] };
    const by: RuleRef = { layer: 'key', id, rule: 'scopes' };
    return { ...deny(by, 'scope_missing', 'This key needs the scope tools:call'), scopes };
  }
  if (servers === null || (serverId !== null && listOf(servers).includes(serverId))) return allowed;
  const by: RuleRef = { layer: 'key', id, rule: 'servers' };
  return deny(by, 'server_not_for_key', 'This token does not open this endpoint');
}

export function decideKey(key: KeyRules, serverId: string | null, target: Target): Decision {
  const entry = decideKeyEntry(key, serverId);
  const { id, permissions } = key;
  if (!entry.allowed || permissions === null) return entry;
  if (listOf(permissions).length === 0)
    return noConnector({ layer: 'key', id, rule: null }, 'connector_not_for_key', target);
  return decideAccess('key', [{ id, allowed: [], blocked: [], permissions }], target);
}
