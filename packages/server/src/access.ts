// Who may use a management route at all: by the kind of what was presented, and by what a key was narrowed to. Pure: no I/O.
import type { RouteDefinition, RouteId } from '@mcp-valet/shared';
import { mayUse, type Principal } from './identity/principal.ts';
import { assertNotNarrowed } from './narrowed.ts';
import { Refusal } from './refusal.ts';

const kindNames = { adm: 'an admin', ent: 'an enterprise', std: 'a standard', public: 'no' } as const;

/** `an admin or an enterprise key`. */
function whoMay(route: RouteDefinition): string {
  const names = route.access.map((kind) => kindNames[kind]);
  return `${names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${names.at(-1)}` : names[0]} key`;
}

/** Throws FORBIDDEN or INSUFFICIENT_SCOPE. What belongs to whom is another question: the scope of the request's transaction answers it. */
export function assertAccess(principal: Principal, id: RouteId, route: RouteDefinition): void {
  if (!mayUse(route, principal.kind))
    throw new Refusal('FORBIDDEN', `This needs ${whoMay(route)}`, { reason: 'kind_not_allowed' });
  assertNotNarrowed(principal, id, route);
}
