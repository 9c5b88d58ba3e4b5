// Pure: puts a user's opened secrets into the slots that the connector declares. Templates are filled in one pass from declared names
// and verified identity only; a value is never read as a template again, and nothing comes from the environment.
import { type Inject, isIdentityName, isOAuthSecret, placeholder } from '@mcp-valet/shared';
import { readClaim } from '../identity/principal.ts';

export interface Identity {
  id: string;
  username: string;
  /** What the caller's verified token says: never what it sent otherwise. Null: no token came. */
  claims?: Readonly<Record<string, unknown>> | null | undefined;
}

/** A claim as text; undefined for what is not there, and for lists and objects, which have no one text. */
export function claimText(user: Pick<Identity, 'claims'> | null, name: string): string | undefined {
  const value = user?.claims ? readClaim(user.claims, name.slice('claims.'.length)) : undefined;
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

/** A template named something that is not there. Carries names only. */
export class InjectError extends Error {
  override readonly name = 'InjectError';
  readonly missing: string;
  constructor(missing: string) {
    super(`The connector needs the secret ${missing}`);
    this.missing = missing;
  }
}

export type Secrets = ReadonlyMap<string, string>;

function fill(template: string, secrets: Secrets, user: Identity | null): string {
  return template.replace(placeholder, (_, name: string) => {
    if (isIdentityName(name)) {
      if (user !== null && name === 'user.id') return user.id;
      if (user !== null && name === 'user.username') return user.username;
      const claim = name.startsWith('claims.') ? claimText(user, name) : undefined;
      if (claim !== undefined) return claim;
      throw new InjectError(name);
    }
    const value = secrets.get(name);
    if (value === undefined) throw new InjectError(name);
    return value;
  });
}

function fillAll(
  slot: Readonly<Record<string, string>> | undefined,
  secrets: Secrets,
  user: Identity | null,
): [string, string][] {
  return Object.entries(slot ?? {}).map(([name, template]) => [name, fill(template, secrets, user)]);
}

/** Header values that go to the upstream. */
export function injectHeaders(inject: Inject | null, secrets: Secrets, user: Identity | null): Record<string, string> {
  return Object.fromEntries(
    fillAll(inject?.headers, secrets, user).map(([name, value]) => [name.toLowerCase(), value]),
  );
}

/** The upstream's URL with injected query parameters. Such a URL must never be logged. */
export function injectQuery(url: string, inject: Inject | null, secrets: Secrets, user: Identity | null): string {
  const entries = fillAll(inject?.query, secrets, user);
  if (entries.length === 0) return url;
  const target = new URL(url);
  for (const [name, value] of entries) target.searchParams.set(name, value);
  return target.href;
}

/**
 * The arguments with the user's secrets merged in, the secret winning over an argument of the same name. Without `inject` every secret of
 * the connector is merged (the seed's rule). `mirrored` names parameters that the upstream wants repeated in headers: a secret there
 * would travel in clear places, so it is left out.
 */
export function injectArguments(
  args: Readonly<Record<string, unknown>>,
  inject: Inject | null,
  secrets: Secrets,
  user: Identity | null,
  mirrored: ReadonlySet<string>,
): Record<string, unknown> {
  const rule = inject === null ? 'all' : inject.args;
  if (rule === undefined) return args;
  // A token is for its header, never for an argument that nobody asked to hold it.
  const added = rule === 'all' ? [...secrets].filter(([name]) => !isOAuthSecret(name)) : fillAll(rule, secrets, user);
  if (added.length === 0) return args;
  const merged = new Map<string, unknown>(Object.entries(args));
  for (const [name, value] of added) if (!mirrored.has(name)) merged.set(name, value);
  // fromEntries defines own properties: a name like __proto__ stays an ordinary key.
  return Object.fromEntries(merged);
}

/** A value cannot become an environment variable. Carries names only. */
export class EnvironmentError extends Error {
  override readonly name = 'EnvironmentError';
}

/**
 * The environment variables that a child process is given besides the fixed ones. `declared` is what its catalogue entry allows: nothing
 * else is ever set. Without `inject` every declared name that has a secret.
 */
export function injectEnv(
  inject: Inject | null,
  declared: readonly string[],
  secrets: Secrets,
  user: Identity | null,
): Record<string, string> {
  const rule = inject === null ? 'all' : inject.env;
  if (rule === undefined) return {};
  const pairs =
    rule === 'all' ? [...secrets].filter(([name]) => declared.includes(name)) : fillAll(rule, secrets, user);
  for (const [name, value] of pairs) {
    if (!declared.includes(name))
      throw new EnvironmentError(`The catalogue entry does not declare the environment variable ${name}`);
    if (value.includes('\0'))
      throw new EnvironmentError(`The value of ${name} holds a character that no environment variable can carry`);
  }
  return Object.fromEntries(pairs);
}
