// Pure: what is known of identity providers, and what an issuer is when fields are left out. No I/O: where the keys of a provider are that
// is not known here is asked of its discovery document by the handler.
import type { Issuer } from '@mcp-valet/shared';
import type { IssuerConfig } from './store.ts';

/** The fields of a request that say where tokens come from. */
export interface PresetInput {
  preset?: Issuer['preset'] | undefined;
  domain?: string | undefined;
  clientId?: string | undefined;
}

export interface PresetFacts {
  issuer?: string;
  jwksUri?: string;
  audience?: string[];
  audienceClaim?: IssuerConfig['audienceClaim'];
  algorithms?: IssuerConfig['algorithms'];
  tokenTypes?: string[];
}

export interface PresetProblem {
  path: string;
  message: string;
}

const hostName = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/i;
const clientName = /^[\x21-\x7e]{1,256}$/;

const host = (input: PresetInput, like: string): string | PresetProblem =>
  input.domain !== undefined && hostName.test(input.domain)
    ? input.domain.toLowerCase()
    : { path: 'domain', message: `Must be a host name such as ${like}` };

/** Only asymmetric ones: a set of public keys must never be a set of shared secrets. */
export const publicAlgorithms: IssuerConfig['algorithms'] = ['RS256', 'PS256', 'ES256', 'EdDSA'];

function workos(input: PresetInput): PresetFacts | PresetProblem {
  const { clientId } = input;
  const audience = clientId === undefined ? {} : { audience: [clientId] };
  if (input.domain !== undefined) {
    const name = host(input, 'acme.authkit.app');
    if (typeof name !== 'string') return name;
    return { issuer: `https://${name}`, jwksUri: `https://${name}/oauth2/jwks`, algorithms: ['RS256'], ...audience };
  }
  if (clientId === undefined || !/^[A-Za-z0-9_-]+$/.test(clientId))
    return { path: 'clientId', message: 'Must be the client id, or set domain to the AuthKit domain' };
  // The session tokens of User Management have no `aud` until its JWT template adds the client id.
  return {
    issuer: `https://api.workos.com/user_management/${clientId}`,
    jwksUri: `https://api.workos.com/sso/jwks/${clientId}`,
    algorithms: ['RS256'],
    ...audience,
  };
}

function cognito({ domain = '', clientId }: PresetInput): PresetFacts | PresetProblem {
  const pool = /^([a-z]{2}(?:-[a-z]+)+-\d)_[A-Za-z0-9]+$/.exec(domain);
  if (pool === null) return { path: 'domain', message: 'Must be a user pool id such as eu-west-1_AbCdEf123' };
  if (clientId === undefined || !clientName.test(clientId))
    return { path: 'clientId', message: 'Must be the app client id' };
  const issuer = `https://cognito-idp.${pool[1]}.amazonaws.com/${domain}`;
  // Access tokens name their client in `client_id` and have no `aud`; ID tokens have no `client_id` and so are not taken for them.
  return {
    issuer,
    jwksUri: `${issuer}/.well-known/jwks.json`,
    algorithms: ['RS256'],
    audience: [clientId],
    audienceClaim: 'client_id',
  };
}

function keycloak({ domain = '' }: PresetInput): PresetFacts | PresetProblem {
  const text = domain.replace(/\/+$/, '');
  if (!URL.canParse(text) || !/^https?:\/\/[^/]+(?:\/[^?#]*)?\/realms\/[^/?#]+$/.test(text))
    return { path: 'domain', message: 'Must be the address of a realm such as https://kc.example/realms/acme' };
  return {
    issuer: text,
    jwksUri: `${text}/protocol/openid-connect/certs`,
    algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  };
}

/** What the preset knows, or what is missing for it. */
export function presetFacts(input: PresetInput): PresetFacts | PresetProblem {
  switch (input.preset ?? 'custom') {
    case 'workos':
      return workos(input);
    case 'auth0': {
      const name = host(input, 'tenant.eu.auth0.com');
      // The slash belongs to the name: Auth0's `iss` has it.
      return typeof name === 'string'
        ? { issuer: `https://${name}/`, jwksUri: `https://${name}/.well-known/jwks.json`, algorithms: ['RS256'] }
        : name;
    }
    case 'clerk': {
      const name = host(input, 'clerk.example.com');
      // Session tokens name the origin that they were made for in `azp` and have no `aud`.
      return typeof name === 'string'
        ? {
            issuer: `https://${name}`,
            jwksUri: `https://${name}/.well-known/jwks.json`,
            algorithms: ['RS256'],
            audienceClaim: 'azp',
          }
        : name;
    }
    case 'cognito':
      return cognito(input);
    case 'keycloak':
      return keycloak(input);
    case 'custom':
      return {};
  }
}

export const isProblem = (facts: PresetFacts | PresetProblem): facts is PresetProblem => 'message' in facts;

/** What holds where nobody says otherwise. */
export const blankConfig: IssuerConfig = {
  preset: 'custom',
  audience: [],
  audienceClaim: 'aud',
  algorithms: publicAlgorithms,
  jwksUri: null,
  tokenTypes: ['JWT', 'at+jwt'],
  requiresType: false,
  requiredClaims: [],
  clockToleranceSeconds: 30,
  maxLifetimeSeconds: 86_400,
  url: null,
  tokenPrefix: null,
  cacheSeconds: 5,
  subjectClaim: 'sub',
  userClaim: null,
  createUsers: false,
  usernameClaim: null,
  tenant: null,
  scopeClaims: ['scope', 'scp', 'scopes', 'permissions'],
  requiredScopes: [],
};
