// Issuers: who proves to an account which user is calling. Identity providers sign tokens (JWT); a session verifier is asked about any other.
import * as z from 'zod/mini';
import { jsonScalar, opaqueId, pageQuery, pageReply, scope, text, timestamp, userRef } from './primitives.ts';
import { route } from './route.ts';

/** Signature algorithms that an issuer may be allowed. `HS256` only with a secret of our making. */
export const tokenAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256'] as const;
/** Providers whose addresses and claims are known; what is sent beside one overrides it. */
export const issuerPresets = ['custom', 'workos', 'auth0', 'clerk', 'cognito', 'keycloak'] as const;

const httpsUrl = text(2048, 1);
const claimName = text(256, 1);

/** What both types share: how a proven subject becomes a user of the account. */
const mapping = {
  /** The claim that identifies the person at the issuer. Default `sub`. */
  subjectClaim: z.optional(claimName),
  /** A claim that holds our username (or `usr_` id). With it no mapping of subjects is kept; a user it does not name is unknown. */
  userClaim: z.optional(z.nullable(claimName)),
  /** Whether a subject seen for the first time becomes a user. */
  createUsers: z.optional(z.boolean()),
  /** The claim that names a user created so, where it is free and fits; else the name is made of the subject. */
  usernameClaim: z.optional(z.nullable(claimName)),
  /** The claim that names the customer's organization, and the values that belong to this account. Another value, or none: refused. */
  tenant: z.optional(
    z.nullable(
      z.strictObject({ claim: claimName, values: z.array(jsonScalar).check(z.minLength(1), z.maxLength(1000)) }),
    ),
  ),
  /** Claims that hold scopes: a list, or text with spaces between. Default `scope`, `scp`, `scopes`, `permissions`. */
  scopeClaims: z.optional(z.array(claimName).check(z.maxLength(10))),
  /** Scopes without which the token is refused (403). */
  requiredScopes: z.optional(z.array(scope).check(z.maxLength(50))),
  enabled: z.optional(z.boolean()),
};

const jwtFields = {
  /** The exact `iss`. */
  issuer: z.optional(httpsUrl),
  /** Accepted audiences; one of them must be in the token. */
  audience: z.optional(z.array(text(512, 1)).check(z.minLength(1), z.maxLength(20))),
  /** The claim that holds the audience, where a provider sets no `aud`: `client_id` (Cognito), `azp` (Clerk). */
  audienceClaim: z.optional(z.enum(['aud', 'client_id', 'azp'])),
  algorithms: z.optional(z.array(z.enum(tokenAlgorithms)).check(z.minLength(1), z.maxLength(5))),
  /** Where the keys are. Absent: from the preset, or from the provider's discovery document, asked once at creation. */
  jwksUri: z.optional(httpsUrl),
  /** Accepted values of the header `typ`, without regard to case; absent: `JWT`, `at+jwt` and none. */
  tokenTypes: z.optional(z.array(text(64, 1)).check(z.minLength(1), z.maxLength(10))),
  requiredClaims: z.optional(z.array(claimName).check(z.maxLength(20))),
  clockToleranceSeconds: z.optional(z.int().check(z.minimum(0), z.maximum(300))),
  /** Longest accepted time between `iat` and `exp`. Default 86400. */
  maxLifetimeSeconds: z.optional(z.int().check(z.minimum(60), z.maximum(604_800))),
};

const name = text(100, 1);
const presetFields = {
  preset: z.optional(z.enum(issuerPresets)),
  /** What a preset makes the addresses of: `tenant.eu.auth0.com`, `https://kc.example/realms/acme`, `eu-west-1_AbCdEf`, a client id. */
  domain: z.optional(text(512, 1)),
  /** WorkOS and Cognito: the client id. */
  clientId: z.optional(text(256, 1)),
  /** Verify with a secret that we make and show once (HS256), instead of keys at an address. For backends that sign themselves. */
  sharedSecret: z.optional(z.boolean()),
};
const webhookFields = {
  /** Asked `{ token }`, signed as Standard Webhooks describes; answers `{ active, sub, … }`. https, or loopback where listed. */
  url: z.optional(httpsUrl),
  /** Only tokens that begin so are sent there. Needed where the account has several verifiers. */
  tokenPrefix: z.optional(z.nullable(text(64, 1))),
  /** How long a good answer may be used again. At most 5. */
  cacheSeconds: z.optional(z.int().check(z.minimum(0), z.maximum(5))),
};

export const issuer = z.object({
  issuerId: z.string(),
  name: z.string(),
  type: z.enum(['jwt', 'webhook']),
  preset: z.enum(issuerPresets),
  issuer: z.nullable(z.string()),
  audience: z.array(z.string()),
  audienceClaim: z.enum(['aud', 'client_id', 'azp']),
  algorithms: z.array(z.enum(tokenAlgorithms)),
  jwksUri: z.nullable(z.string()),
  tokenTypes: z.array(z.string()),
  requiredClaims: z.array(z.string()),
  clockToleranceSeconds: z.int(),
  maxLifetimeSeconds: z.int(),
  url: z.nullable(z.string()),
  tokenPrefix: z.nullable(z.string()),
  cacheSeconds: z.int(),
  subjectClaim: z.string(),
  userClaim: z.nullable(z.string()),
  createUsers: z.boolean(),
  usernameClaim: z.nullable(z.string()),
  tenant: z.nullable(z.object({ claim: z.string(), values: z.array(jsonScalar) })),
  scopeClaims: z.array(z.string()),
  requiredScopes: z.array(z.string()),
  enabled: z.boolean(),
  createdAt: timestamp,
  updatedAt: timestamp,
});
export type Issuer = z.output<typeof issuer>;

export const identity = z.object({
  issuerId: z.string(),
  subject: z.string(),
  userId: z.string(),
  username: z.string(),
  createdAt: timestamp,
});
export type Identity = z.output<typeof identity>;

const params = z.object({ issuerId: opaqueId });
/** OpenID Connect allows subjects of at most 255 ASCII characters. */
const subject = z
  .string()
  .check(z.regex(/^[\x20-\x7e]{1,255}$/, { error: 'Must be 1-255 printable ASCII characters' }));

export const issuerRoutes = {
  /**
   * Trusts an issuer of user tokens. `secret` (of a shared secret, or the key that signs what a verifier is asked) is shown here and never again.
   */
  create: route({
    method: 'POST',
    path: '/api/issuers',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Trust an issuer of user tokens',
    body: z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('jwt'), name, ...presetFields, ...jwtFields, ...mapping }),
      z.strictObject({ type: z.literal('webhook'), name, ...webhookFields, ...mapping }),
    ]),
    status: 201,
    reply: z.extend(issuer, { secret: z.optional(z.string()) }),
    errors: [
      'CONFLICT',
      'UNPROCESSABLE',
      'UPSTREAM_UNREACHABLE',
      'UPSTREAM_ERROR',
      'IDEMPOTENCY_MISMATCH',
      'IDEMPOTENCY_IN_PROGRESS',
    ],
    audit: 'issuer.create',
    oneTime: ['secret'],
  }),
  /** The account's issuers, by name. */
  list: route({
    method: 'GET',
    path: '/api/issuers',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List issuers',
    query: z.strictObject(pageQuery),
    status: 200,
    reply: z.object({ issuers: z.array(issuer), ...pageReply }),
    errors: [],
    audit: null,
    items: 'issuers',
  }),
  /** One issuer, without its secret. */
  get: route({
    method: 'GET',
    path: '/api/issuers/{issuerId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Get an issuer',
    params,
    status: 200,
    reply: issuer,
    errors: ['NOT_FOUND'],
    audit: null,
  }),
  /** Changes the fields that are sent. Its type, preset and `iss` stay. */
  update: route({
    method: 'PATCH',
    path: '/api/issuers/{issuerId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Change an issuer',
    params,
    body: z.strictObject({ name: z.optional(name), ...jwtFields, ...webhookFields, ...mapping }),
    status: 200,
    reply: issuer,
    errors: ['NOT_FOUND', 'CONFLICT', 'UNPROCESSABLE'],
    audit: 'issuer.update',
  }),
  /** Trusts it no longer: its tokens are refused within 5 seconds. Its users stay. */
  delete: route({
    method: 'DELETE',
    path: '/api/issuers/{issuerId}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Delete an issuer',
    params,
    status: 200,
    reply: z.object({ status: z.literal('deleted'), issuerId: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'issuer.delete',
  }),
  /** Refuses one token of the issuer, by its `jti`, until it would have expired anyway. */
  revokeToken: route({
    method: 'POST',
    path: '/api/issuers/{issuerId}/revoked-tokens',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Refuse one token of an issuer',
    params,
    body: z.strictObject({ tokenId: text(512, 1), expiresAt: z.optional(timestamp) }),
    status: 200,
    reply: z.object({ status: z.literal('revoked'), issuerId: z.string(), tokenId: z.string(), expiresAt: timestamp }),
    errors: ['NOT_FOUND'],
    audit: 'user_token.revoke',
    idempotent: true,
  }),
};

export const identityRoutes = {
  /** Says which user a subject of an issuer is. Throws CONFLICT when the subject is another user already. */
  create: route({
    method: 'POST',
    path: '/api/identities',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Map a subject of an issuer to a user',
    body: z.strictObject({ issuerId: opaqueId, subject, userId: userRef }),
    status: 201,
    reply: identity,
    errors: ['NOT_FOUND', 'USER_NOT_FOUND', 'CONFLICT', 'IDEMPOTENCY_MISMATCH', 'IDEMPOTENCY_IN_PROGRESS'],
    audit: 'identity.create',
  }),
  /** Which subjects are which users. */
  list: route({
    method: 'GET',
    path: '/api/identities',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'List identities',
    query: z.strictObject({ ...pageQuery, userId: z.optional(userRef), issuerId: z.optional(opaqueId) }),
    status: 200,
    reply: z.object({ identities: z.array(identity), ...pageReply }),
    errors: ['USER_NOT_FOUND'],
    audit: null,
    items: 'identities',
  }),
  /** Forgets who a subject is. Its tokens are refused from then on, or make a new user where the issuer may. */
  delete: route({
    method: 'DELETE',
    path: '/api/identities/{issuerId}/{subject}',
    access: ['adm', 'ent'],
    dialect: 'api',
    summary: 'Forget a subject of an issuer',
    params: z.object({ issuerId: opaqueId, subject }),
    status: 200,
    reply: z.object({ status: z.literal('deleted'), issuerId: z.string(), subject: z.string() }),
    errors: ['NOT_FOUND'],
    audit: 'identity.delete',
  }),
};
