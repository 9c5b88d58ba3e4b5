// The grammar of `inject` templates: `{{NAME}}`. Filling them is the gateway's business; which names they ask for is the contract's.
import type { Inject } from './connectors.ts';

/** A placeholder, with its name as the first group. Global: use `replace` and `matchAll`. */
export const placeholder = /\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}/g;

/** Names that a template asks for, in order. */
export function templateNames(template: string): string[] {
  return [...template.matchAll(placeholder)].map((match) => match[1] ?? '');
}

/** Only a verified identity fills these, never a secret that somebody gave such a name. */
export const isIdentityName = (name: string): boolean => name.startsWith('user.') || name.startsWith('claims.');

/** Names of the secrets, not of the identity, that an `inject` needs. */
export function neededSecrets(inject: Inject | null): string[] {
  if (inject === null) return [];
  const templates = [inject.headers, inject.query, inject.args === 'all' ? undefined : inject.args].flatMap((slot) =>
    Object.values(slot ?? {}),
  );
  return [...new Set(templates.flatMap(templateNames))].filter((name) => !isIdentityName(name));
}
