// Pure: rules + target -> Decision, no I/O, no clock. The one function that filters lists and guards calls of tools, resources,
// prompts and completions, so that what is listed is exactly what can be called.
//
// Layers (server, user, group, key, requirement) are ANDed: each must agree. Inside a layer an explicit deny beats an explicit allow,
// and an allow beats the default; the default is deny as soon as the layer has any allow. Anything unreadable denies.
import { decideAccess, decideKey, decideKeyEntry } from './decide-access.ts';
import { decideRequirement } from './decide-requirement.ts';
import { decideServer, decideServerUser } from './decide-server.ts';
import { allowed, type Decision, type Layer, noConnector, type Rules, type Target } from './rules.ts';

export type {
  AccessRules,
  Decision,
  Denial,
  KeyRules,
  Layer,
  RuleRef,
  Rules,
  ServerRules,
  Target,
  UserRules,
} from './rules.ts';

type Ask = (rules: Rules, target: Target) => Decision;

const layers: Record<Layer, Ask> = {
  server: ({ server, user }, target) => (server === null ? allowed : decideServer(server, user, target)),
  user: ({ user }, target) => decideAccess('user', [user], target),
  group: ({ groups }, target) => (groups.length === 0 ? allowed : decideAccess('group', groups, target)),
  key: ({ key, server }, target) => decideKey(key, server?.id ?? null, target),
  requirement: ({ server, caller }, target) => decideRequirement(server, caller, target),
};
const order = Object.keys(layers) as Layer[];

/** Whose rules a layer asks; null: the groups' are several. */
function ownerOf(layer: Layer, { server, user, key }: Rules, target: Target): string | null {
  switch (layer) {
    case 'server':
      return server?.id ?? null;
    case 'user':
      return user.id;
    case 'group':
      return null;
    case 'key':
      return key.id;
    case 'requirement':
      return target.connector;
  }
}

/** Asks the layers in order up to the one that refuses; `hear` is told of each. */
function ask(rules: Rules, target: Target, hear?: (layer: Layer, decision: Decision) => void): Decision {
  let asked: Layer = 'server';
  try {
    for (const layer of order) {
      asked = layer;
      const decision = layers[layer](rules, target);
      hear?.(layer, decision);
      if (!decision.allowed) return decision;
    }
    return allowed;
  } catch {
    // A stored rule that this code cannot read must not open the door.
    const by = { layer: asked, id: ownerOf(asked, rules, target), rule: null };
    const unreadable = noConnector(by, 'rule_unreadable', target);
    hear?.(asked, unreadable);
    return unreadable;
  }
}

/** Whether this caller may touch this target here, and if not, which rule says so. */
export const decide = (rules: Rules, target: Target): Decision => ask(rules, target);

/** The layers that `decide` asks, in its order and with their answers, up to the one that refuses. */
export function decideStepwise(
  rules: Rules,
  target: Target,
): { layer: Layer; id: string | null; decision: Decision }[] {
  const steps: { layer: Layer; id: string | null; decision: Decision }[] = [];
  ask(rules, target, (layer, decision) => steps.push({ layer, id: ownerOf(layer, rules, target), decision }));
  return steps;
}

/** Whether this caller may use the endpoint at all, whatever the connector. */
export function decideEntry({ server, user, key }: Rules): Decision {
  try {
    const byServer = server === null ? allowed : decideServerUser(server, user);
    return byServer.allowed ? decideKeyEntry(key, server?.id ?? null) : byServer;
  } catch {
    return {
      allowed: false,
      reason: 'rule_unreadable',
      message: 'A rule of this endpoint cannot be read',
      by: { layer: 'server', id: server?.id ?? null, rule: null },
    };
  }
}
