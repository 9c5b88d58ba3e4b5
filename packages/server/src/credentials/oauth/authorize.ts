// The sign-in at the provider: sends the proven person there with a fresh state and PKCE, and redeems what comes back, once.
//
// Guarantee: tokens reach a credential only from the browser that proved to be its user, through the state that was minted for it, from the
// issuer that was recorded for it, under the verifier that was sealed for it. Order: state and browser first, then the state is spent, then
// `iss`, and only then the code is redeemed. No transaction is open while the provider is asked.
// Failure: an Outcome with a code; the link is over whatever it is, so that nothing can be presented twice. Foreign text is never kept.
import * as oauth from 'oauth4webapi';
import { recordEvent } from '../../audit/record.ts';
import { getConnector } from '../../connectors/store.ts';
import type { Parts } from '../../context.ts';
import { type Db, withScope } from '../../db/scope.ts';
import { Refusal } from '../../refusal.ts';
import { getCredential } from '../find.ts';
import { type NewGrant, storeGrant } from '../store.ts';
import { beginFlow, type ConnectRow, finishLink, hashOf, type LiveLink, newToken, takeFlow } from './connect-store.ts';
import type { OAuthConnector } from './discovery.ts';
import {
  callbackUrl,
  clientAuthOf,
  clientOf,
  type OAuthProvider,
  openProvider,
  ProviderRefusal,
  protocolAnswer,
  protocolOptions,
} from './provider.ts';
import { ProviderError } from './provider-error.ts';

export type ConnectParts = Pick<Parts, 'config' | 'db' | 'egress' | 'keyring' | 'vault' | 'trail' | 'log'>;

/** What came of a sign-in, for the page and for the return address. */
export type Outcome =
  | { status: 'connected' }
  | {
      status: 'error';
      error: 'access_denied' | 'provider_error' | 'provider_unreachable' | 'another_account' | 'link_ended';
    };

/** Where a request of a browser came from, for the trail. */
export interface Asked {
  requestId: string;
  address: string;
}

interface Flow {
  state: string;
  verifier: string;
  provider: OAuthProvider;
  connectorVersion: number;
}

const placeOf = (link: ConnectRow) => ['connect-flow', link.accountId, link.userId, link.credentialId] as const;
const scopeOf = (link: ConnectRow) => ({ account: link.accountId, user: link.userId });

/** The connector of a link as sign-in sees it; undefined when it has no OAuth any more. */
export async function oauthConnectorOf(tx: Db, link: ConnectRow): Promise<OAuthConnector | undefined> {
  const {
    accountId,
    id,
    kind,
    config,
    oauth: settings,
    version,
  } = await getConnector(tx, link.accountId, link.connectorId);
  if (settings === null) return undefined;
  const url = typeof config['url'] === 'string' ? config['url'] : '';
  return { accountId, id, kind, url, oauth: settings, version };
}

/** The provider that the link leads to, for the consent page. Throws ProviderError. */
export async function providerOf(
  parts: ConnectParts,
  link: ConnectRow,
): Promise<{ connector: OAuthConnector; provider: OAuthProvider }> {
  const connector = await withScope(parts.db, scopeOf(link), (tx) => oauthConnectorOf(tx, link));
  if (connector === undefined) throw new ProviderError('bad_metadata', 'no_oauth');
  return { connector, provider: await openProvider(parts, connector) };
}

/** The address that the person's browser goes to, or undefined when the link ended meanwhile. Throws ProviderError. */
export async function startAuthorization(parts: ConnectParts, link: ConnectRow): Promise<string | undefined> {
  const { connector, provider } = await providerOf(parts, link);
  const { authorization_endpoint: endpoint } = provider.server;
  if (endpoint === undefined) throw new ProviderError('bad_metadata', 'no_authorization_endpoint');
  const flow: Flow = {
    state: newToken(),
    verifier: oauth.generateRandomCodeVerifier(),
    provider: { ...provider, server: essentials(provider.server) },
    connectorVersion: connector.version,
  };
  const url = new URL(endpoint);
  const scopes = link.scopes ?? provider.scopes;
  const parameters = {
    // First, so that none of these can replace what the protocol relies on.
    ...(scopes.includes('offline_access') && { prompt: 'consent' }),
    ...connector.oauth.authorizationParams,
    ...(scopes.length > 0 && { scope: scopes.join(' ') }),
    ...(provider.resource !== undefined && { resource: provider.resource }),
    response_type: 'code',
    client_id: provider.clientId,
    redirect_uri: callbackUrl(parts),
    state: flow.state,
    code_challenge: await oauth.calculatePKCECodeChallenge(flow.verifier),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  const sealed = parts.keyring.sealState(Buffer.from(JSON.stringify(flow), 'utf8'), ...placeOf(link));
  const stateHash = hashOf(parts.keyring, 'state', flow.state) as Buffer;
  const begun = await withScope(parts.db, scopeOf(link), (tx) => beginFlow(tx, link, { stateHash, sealed }));
  return begun ? url.href : undefined;
}

/** What the second half needs of the metadata. The rest of a document, which may be long, is not sealed with it. */
function essentials(server: oauth.AuthorizationServer): oauth.AuthorizationServer {
  const { issuer, token_endpoint, authorization_response_iss_parameter_supported: hasIss } = server;
  const algs = server.id_token_signing_alg_values_supported;
  return {
    issuer,
    ...(token_endpoint !== undefined && { token_endpoint }),
    ...(hasIss !== undefined && { authorization_response_iss_parameter_supported: hasIss }),
    ...(algs !== undefined && { id_token_signing_alg_values_supported: algs }),
  };
}

/** Redeems the provider's answer. The caller has matched state and browser. Undefined when the state was spent by somebody quicker. */
export async function finishAuthorization(
  parts: ConnectParts,
  link: LiveLink,
  answer: URLSearchParams,
  asked: Asked,
): Promise<Outcome | undefined> {
  const stateHash = hashOf(parts.keyring, 'state', answer.get('state') ?? undefined);
  if (stateHash === undefined) return undefined;
  const sealed = await withScope(parts.db, scopeOf(link), (tx) => takeFlow(tx, link, stateHash));
  if (sealed === undefined) return undefined;
  const flow = JSON.parse(parts.keyring.openState(sealed, ...placeOf(link)).toString('utf8')) as Flow;
  try {
    const grant = await redeem(parts, link, flow, answer);
    return await keepGrant(parts, link, flow, grant, asked);
  } catch (error) {
    const failure = failureOf(error);
    if (failure === undefined) throw error;
    parts.log.warn(
      { requestId: asked.requestId, connector: link.connectorId, reason: failure.reason },
      'sign-in at a provider failed',
    );
    await refuse(parts, link, failure.reason, asked);
    return { status: 'error', error: failure.error };
  }
}

function failureOf(error: unknown): { error: (Outcome & { status: 'error' })['error']; reason: string } | undefined {
  if (error instanceof Denied) return { error: 'access_denied', reason: 'access_denied' };
  if (error instanceof ProviderRefusal) return { error: 'provider_error', reason: `provider:${error.error}` };
  if (!(error instanceof ProviderError)) return undefined;
  return {
    error: error.problem === 'unreachable' ? 'provider_unreachable' : 'provider_error',
    reason: error.reason,
  };
}

class Denied extends Error {
  override readonly name = 'Denied';
}

async function redeem(parts: ConnectParts, link: ConnectRow, flow: Flow, answer: URLSearchParams): Promise<NewGrant> {
  const { provider, state, verifier } = flow;
  const { server } = provider;
  const client = clientOf(provider);
  const accepted = acceptedAnswer(server, client, answer, state);
  const options = protocolOptions(parts, { accountId: link.accountId, id: link.connectorId });
  const tokens = await protocolAnswer('token', async () => {
    const response = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      clientAuthOf(provider),
      accepted,
      callbackUrl(parts),
      verifier,
      { ...options, ...(provider.resource !== undefined && { additionalParameters: { resource: provider.resource } }) },
    );
    return oauth.processAuthorizationCodeResponse(server, client, response, { recognizedTokenTypes });
  });
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  const asked = link.scopes ?? provider.scopes;
  return {
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token,
    idToken: tokens.id_token,
    expiresIn: tokens.expires_in === undefined ? undefined : Math.min(Math.floor(tokens.expires_in), maxSeconds),
    // RFC 6749 5.1: left out when it is what was asked for.
    scopes: tokens.scope?.split(' ').filter((scope) => scope !== '') ?? [...asked],
    subject: claims?.sub ?? null,
  };
}

const maxSeconds = 315_360_000;
/** What some vendors call a bearer token. */
const recognizedTokenTypes = { bot: () => undefined, user: () => undefined };

/** Checks `iss` (RFC 9207) and state before anything is sent anywhere. */
function acceptedAnswer(
  server: oauth.AuthorizationServer,
  client: oauth.Client,
  answer: URLSearchParams,
  state: string,
): URLSearchParams {
  try {
    return oauth.validateAuthResponse(server, client, answer, state);
  } catch (error) {
    if (error instanceof oauth.AuthorizationResponseError) {
      if (error.error === 'access_denied') throw new Denied();
      throw new ProviderRefusal(error.error, 0);
    }
    if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
      const isIssuer = answer.get('iss') !== null && answer.get('iss') !== server.issuer;
      throw new ProviderError('bad_answer', isIssuer ? 'issuer_mismatch' : 'authorization_response');
    }
    throw error;
  }
}

/** Seals the tokens under the user's data key, in one transaction with the event and the end of the link. */
async function keepGrant(
  parts: ConnectParts,
  link: LiveLink,
  flow: Flow,
  grant: NewGrant,
  asked: Asked,
): Promise<Outcome> {
  const outcome = await withScope(parts.db, scopeOf(link), async (tx): Promise<Outcome> => {
    const credential = await getCredential(tx, link.accountId, link.credentialId);
    const connector = await getConnector(tx, link.accountId, link.connectorId);
    // Changed while the person was away: the tokens may belong to another service than the one it names now.
    if (connector.version !== flow.connectorVersion) return { status: 'error', error: 'link_ended' };
    const known = credential.status === 'pending' ? null : credential.subject;
    // Whoever renews must not find somebody else's data behind the same credential.
    if (known !== null && grant.subject !== known) return { status: 'error', error: 'another_account' };
    if (!(await finishLink(tx, link, 'void'))) return { status: 'error', error: 'link_ended' };
    const keepsRefresh = known !== null && credential.status !== 'reauth_required';
    await storeGrant(tx, parts.vault, credential, { ...grant, keepsRefresh });
    await recordEvent(tx, {
      ...eventOf(link, asked),
      outcome: 'ok',
      details: { connector: link.connectorId, scopes: grant.scopes, renewable: grant.refreshToken !== undefined },
    });
    await parts.db.changes.publish(tx, `user:${link.userId}`);
    return { status: 'connected' };
  }).catch((error: unknown): Outcome => {
    // Credential or connector were deleted while the person was away.
    if (error instanceof Refusal && error.code === 'NOT_FOUND') return { status: 'error', error: 'link_ended' };
    throw error;
  });
  if (outcome.status === 'error') await refuse(parts, link, outcome.error, asked);
  return outcome;
}

export const eventOf = (link: ConnectRow, asked: Asked) => ({
  accountId: link.accountId,
  // The person, not a key: there may have been none.
  actor: null,
  action: 'credential.connected',
  userId: link.userId,
  target: link.credentialId,
  requestId: asked.requestId,
  address: asked.address,
});

const refuse = (parts: ConnectParts, link: ConnectRow, reason: string, asked: Asked): Promise<void> =>
  parts.trail.refused({
    ...eventOf(link, asked),
    outcome: 'refused',
    reason,
    details: { connector: link.connectorId },
  });
