// Sign-in of people at an OpenID Connect issuer: where a browser is sent, and who came back. Authorization code with PKCE; everything that
// ties the two halves together is derived from one secret in the browser's cookie, so that any replica can finish what another began.
// Knows no session and no key; every request leaves through the guarded egress.
import { createHash, randomBytes } from 'node:crypto';
import * as oauth from 'oauth4webapi';
import type { AdminOidc } from '../config.ts';
import type { Parts } from '../context.ts';
import {
  clientAuthOf,
  ProviderRefusal,
  protocolAnswer,
  protocolOptions,
  type TokenAuth,
} from '../credentials/oauth/provider.ts';
import { ProviderError } from '../credentials/oauth/provider-error.ts';
import { createKeySets } from '../identity/jwks.ts';
import { TokenError, type TokenRules, verifyJwt } from '../identity/jwt.ts';
import type { Person } from './person.ts';

/** What the page can say about a sign-in that failed. */
export type OidcProblem = 'stale' | 'denied' | 'failed' | 'unavailable' | 'not_allowed' | 'revoked' | 'busy';

export class OidcError extends Error {
  override readonly name = 'OidcError';
  readonly problem: OidcProblem;
  /** For the trail. */
  readonly reason: string;
  readonly person: Person | undefined;
  constructor(problem: OidcProblem, reason: string, person?: Person) {
    super(`sign-in failed: ${reason}`);
    this.problem = problem;
    this.reason = `oidc_${reason}`;
    this.person = person;
  }
}

export const newSeed = (): string => randomBytes(32).toString('base64url');

/** Three values that say nothing about each other or about the seed. */
const derived = (seed: string) => {
  const of = (what: string) => createHash('sha256').update(`${what} ${seed}`).digest('base64url');
  return { state: of('state'), nonce: of('nonce'), verifier: of('verifier') };
};

const keepMs = 300_000;

export const callbackPath = '/admin/oidc/callback';

/** No shared secrets among the algorithms: the client's secret is known to both sides. */
const tokenRules: Omit<TokenRules, 'jwksUri' | 'audience'> = {
  algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA'],
  audienceClaim: 'aud',
  tokenTypes: ['JWT'],
  requiresType: false,
  requiredClaims: [],
  subjectClaim: 'sub',
  clockToleranceSeconds: 30,
  maxLifetimeSeconds: 86_400,
};

export class OidcSignIn {
  readonly #parts: Pick<Parts, 'config' | 'egress'>;
  readonly #settings: AdminOidc;
  readonly #keySets: ReturnType<typeof createKeySets>;
  #kept: { server: Promise<oauth.AuthorizationServer>; until: number } | undefined;

  constructor(parts: Pick<Parts, 'config' | 'egress'>, settings: AdminOidc) {
    this.#parts = parts;
    this.#settings = settings;
    this.#keySets = createKeySets({ egress: parts.egress, now: () => performance.now() });
  }

  get #redirectUri(): string {
    return this.#parts.config.publicUrl + callbackPath;
  }

  get #options() {
    return protocolOptions(this.#parts, { accountId: '', id: 'dashboard' });
  }

  /** Where to send the browser that holds this seed. Throws OidcError. */
  async begin(seed: string): Promise<string> {
    const server = await translated(() => this.#server());
    const { state, nonce, verifier } = derived(seed);
    const url = new URL(server.authorization_endpoint as string);
    const parameters = {
      response_type: 'code',
      client_id: this.#settings.clientId,
      redirect_uri: this.#redirectUri,
      scope: 'openid email profile',
      state,
      nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return url.href;
  }

  /** Who came back to the browser that holds this seed. Throws OidcError. */
  finish(seed: string, answer: URLSearchParams): Promise<Person> {
    return translated(async () => {
      const server = await this.#server();
      const client: oauth.Client = { client_id: this.#settings.clientId };
      const { state, nonce, verifier } = derived(seed);
      const code = checkedAnswer(server, client, answer, state);
      const tokens = await protocolAnswer('token', async () => {
        const auth = clientAuthOf({
          tokenAuth: this.#tokenAuth(server),
          clientSecret: this.#settings.clientSecret?.reveal(),
        });
        return oauth.processAuthorizationCodeResponse(
          server,
          client,
          await oauth.authorizationCodeGrantRequest(
            server,
            client,
            auth,
            code,
            this.#redirectUri,
            verifier,
            this.#options,
          ),
          { expectedNonce: nonce, requireIdToken: true },
        );
      });
      const claims = await this.#verified(server, tokens.id_token as string);
      return personOf(server.issuer, await this.#completed(server, client, tokens.access_token, claims));
    });
  }

  /** The signature too: the library trusts the connection, and our connection may be plain http inside a network. */
  #verified(server: oauth.AuthorizationServer, token: string): Promise<Claims> {
    const config = { ...tokenRules, jwksUri: server.jwks_uri ?? null, audience: [this.#settings.clientId] };
    return verifyJwt(token, { issuer: server.issuer, config, secret: () => undefined }, this.#keySets, Date.now());
  }

  /** Many issuers keep what is not the subject to a second answer. What is signed counts where both say something. */
  async #completed(
    server: oauth.AuthorizationServer,
    client: oauth.Client,
    accessToken: string,
    claims: Claims,
  ): Promise<Claims> {
    const needsGroups = this.#settings.allow.some((rule) => rule.startsWith('group:'));
    const isComplete = 'email' in claims && (!needsGroups || 'groups' in claims);
    if (server.userinfo_endpoint === undefined || isComplete) return claims;
    const more = await protocolAnswer('userinfo', async () =>
      oauth.processUserInfoResponse(
        server,
        client,
        String(claims['sub']),
        await oauth.userInfoRequest(server, client, accessToken, this.#options),
      ),
    );
    // An address and the word about it come from one of the two: a word about another address would be worth nothing.
    const { email, email_verified: isVerified, ...rest } = more;
    return { ...rest, ...('email' in claims ? {} : { email, email_verified: isVerified }), ...claims };
  }

  #tokenAuth(server: oauth.AuthorizationServer): TokenAuth {
    if (this.#settings.clientSecret === undefined) return 'none';
    const offered = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    return offered.includes('client_secret_basic') ? 'client_secret_basic' : 'client_secret_post';
  }

  #server(): Promise<oauth.AuthorizationServer> {
    if (this.#kept !== undefined && this.#kept.until > performance.now()) return this.#kept.server;
    const entry = { server: this.#discover(), until: performance.now() + keepMs };
    // What went wrong is told to whoever waits, and not kept.
    entry.server.catch(() => {
      if (this.#kept === entry) this.#kept = undefined;
    });
    this.#kept = entry;
    return entry.server;
  }

  async #discover(): Promise<oauth.AuthorizationServer> {
    const issuer = new URL(this.#settings.issuer);
    const server = await protocolAnswer('metadata', async () =>
      oauth.processDiscoveryResponse(
        issuer,
        await oauth.discoveryRequest(issuer, { algorithm: 'oidc', ...this.#options }),
      ),
    );
    const { authorization_endpoint: authorize, token_endpoint: token, jwks_uri: keys } = server;
    if (authorize === undefined || token === undefined || keys === undefined)
      throw new ProviderError('bad_metadata', 'no_endpoints');
    // A browser is sent there: the same addresses as for ourselves, and never another scheme.
    this.#parts.egress.check(authorize);
    return server;
  }
}

type Claims = Readonly<Record<string, unknown>>;

function checkedAnswer(
  server: oauth.AuthorizationServer,
  client: oauth.Client,
  answer: URLSearchParams,
  state: string,
): URLSearchParams {
  // First of all: what did not begin in this browser is nobody's answer, an error no more than a code.
  if (answer.get('state') !== state) throw new OidcError('stale', 'state');
  try {
    return oauth.validateAuthResponse(server, client, answer, state);
  } catch (error) {
    if (error instanceof oauth.AuthorizationResponseError)
      throw error.error === 'access_denied' ? new OidcError('denied', 'denied') : new OidcError('failed', 'refused');
    throw error;
  }
}

const text = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' && value.length <= 256 ? value : undefined;

/** An address counts only where the issuer says that it has checked it: whoever can write any address there is anybody. */
function personOf(issuer: string, claims: Claims): Person {
  const subject = text(claims['sub']);
  if (subject === undefined) throw new OidcError('failed', 'no_subject');
  const groups = Array.isArray(claims['groups']) ? claims['groups'] : [];
  return {
    issuer,
    subject,
    email: claims['email_verified'] === true ? text(claims['email'])?.toLowerCase() : undefined,
    groups: groups.filter((group): group is string => typeof group === 'string'),
  };
}

async function translated<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (error) {
    if (error instanceof OidcError) throw error;
    if (error instanceof TokenError)
      throw new OidcError('failed', `id_token_${error.reason.replace('user_token_', '')}`);
    if (error instanceof ProviderRefusal) throw new OidcError('failed', `refused_${error.error}`);
    if (error instanceof ProviderError)
      throw new OidcError(error.problem === 'unreachable' ? 'unavailable' : 'failed', error.reason);
    if (error instanceof oauth.OperationProcessingError) throw new OidcError('failed', 'bad_answer');
    if ((error as { name?: string }).name === 'EgressError') throw new OidcError('failed', 'address_refused');
    throw error;
  }
}
