// Pure: what is read off verified claims by an issuer's configuration: scopes, tenant, and names for a new user.
import { createHash } from 'node:crypto';
import { username as usernameSchema } from '@mcp-valet/shared';
import type { IssuerConfig } from '../issuers/store.ts';
import { readClaim } from './principal.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** Scopes from every claim that may hold some: lists, or text with spaces between. */
export function scopesOf(claims: Claims, names: readonly string[]): string[] {
  const found = names.flatMap((name) => {
    const value = readClaim(claims, name);
    return Array.isArray(value) ? value : typeof value === 'string' ? value.split(' ') : [];
  });
  return [...new Set(found.filter((scope): scope is string => typeof scope === 'string' && scope !== ''))];
}

export function isOfTenant(claims: Claims, { tenant }: IssuerConfig): boolean {
  if (tenant === null) return true;
  const value = readClaim(claims, tenant.claim);
  return tenant.values.some((one) => one === value);
}

const shortHash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** Names for a new user, the best first. The last ones are free for all practical purposes. */
export function namesFor(config: IssuerConfig, claims: Claims, issuerId: string, subject: string): string[] {
  const claimed = config.usernameClaim === null ? undefined : readClaim(claims, config.usernameClaim);
  const wished = [claimed, subject].filter((name) => usernameSchema.safeParse(name).success) as string[];
  const tail = shortHash(`${issuerId} ${subject}`);
  return [...wished, ...wished.map((name) => `${name.slice(0, 100)}-${tail}`), `user-${tail}`];
}
