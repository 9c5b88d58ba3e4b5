// Puts a user's opened secrets into the security schemes of an operation. Pure. An operation that needs a secret which is not there fails;
// it is never sent without, unless the document allows that.
import { InjectError, type Secrets } from '../inject.ts';
import type { CompiledDocument, Operation, SecurityScheme } from './document.ts';

/** Scheme name -> part (`value`, `token`, `username`, `password`) -> secret name. */
export type SchemeSecrets = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface FilledSecurity {
  headers: Record<string, string>;
  query: [name: string, value: string][];
  cookies: [name: string, value: string][];
}

/** What the token endpoint answered and what stands beside it; no call's to send. */
const grantSecret = /^oauth\./;
const accessToken = 'oauth.access_token';

/** The first alternative whose secrets are there. Throws InjectError with the name of the secret that is missing. */
export function fillSecurity(
  compiled: Pick<CompiledDocument, 'securitySchemes'>,
  operation: Pick<Operation, 'security'>,
  secrets: Secrets,
  auth: SchemeSecrets | null,
): FilledSecurity {
  const none: FilledSecurity = { headers: {}, query: [], cookies: [] };
  if (operation.security.length === 0) return none;
  let missing: InjectError | undefined;
  for (const names of operation.security) {
    if (names.length === 0) continue;
    try {
      return names.reduce((filled, name) => fill(compiled, name, secrets, auth, filled), structuredClone(none));
    } catch (error) {
      if (!(error instanceof InjectError)) throw error;
      missing ??= error;
    }
  }
  if (missing === undefined || operation.security.some((names) => names.length === 0)) return none;
  throw missing;
}

function fill(
  { securitySchemes }: Pick<CompiledDocument, 'securitySchemes'>,
  name: string,
  secrets: Secrets,
  auth: SchemeSecrets | null,
  filled: FilledSecurity,
): FilledSecurity {
  const scheme: SecurityScheme | undefined = Object.hasOwn(securitySchemes, name) ? securitySchemes[name] : undefined;
  const parts = auth !== null && Object.hasOwn(auth, name) ? auth[name] : undefined;
  const secretOf = (part: string, fallback: () => string): string => {
    const named = parts === undefined ? undefined : Object.hasOwn(parts, part) ? parts[part] : onlyOne(parts);
    const secretName = named ?? fallback();
    const value = secrets.get(secretName);
    if (value === undefined) throw new InjectError(secretName);
    return value;
  };
  /** The secret with one of these names, or the only one there is; else the first name is what is missing. */
  const find = (...names: string[]): string => {
    const usable = [...secrets.keys()].filter((key) => !grantSecret.test(key));
    return names.find((key) => secrets.has(key)) ?? (usable.length === 1 ? usable[0] : names[0]) ?? name;
  };
  switch (scheme?.kind) {
    case 'apiKey': {
      const value = secretOf('value', () => find(name, scheme.name));
      if (scheme.in === 'header') filled.headers[scheme.name.toLowerCase()] = value;
      else if (scheme.in === 'query') filled.query.push([scheme.name, value]);
      else filled.cookies.push([scheme.name, value]);
      return filled;
    }
    case 'basic': {
      const pair = [secretOf('username', () => 'username'), secretOf('password', () => 'password')].join(':');
      filled.headers['authorization'] = `Basic ${Buffer.from(pair, 'utf8').toString('base64')}`;
      return filled;
    }
    case 'bearer':
    case 'oauth2':
    case 'openIdConnect': {
      // Without an OAuth grant: a token that was stored by hand.
      filled.headers['authorization'] =
        `Bearer ${secretOf('token', () => (secrets.has(accessToken) ? accessToken : find(name)))}`;
      return filled;
    }
    default:
      throw new InjectError(name);
  }
}

function onlyOne(parts: Readonly<Record<string, string>>): string | undefined {
  const names = Object.values(parts);
  return names.length === 1 ? names[0] : undefined;
}
