// A gateway, a real provider, Alice and Bob with keys of their own, and a connector whose users sign in at the provider. Asserts nothing about
// the gateway beyond "the set-up worked".
import { randomBytes } from 'node:crypto';
import type { TestDatabase } from '../support/database.ts';
import { type Json, type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { Browser, type Seen } from './oauth-browser.ts';
import { type OAuthServer, type OAuthServerOptions, startOAuthServer } from './oauth-provider.ts';

export interface OAuthStage {
  rig: Rig;
  provider: OAuthServer;
  upstream: RecordingUpstream;
  accountId: string;
  /** Username to standard key. */
  keys: { alice: string; bob: string };
  /** Where the app behind the account wants its users back. Nobody listens there. */
  appUrl: string;
  /** A fresh oauth2 credential with its link. */
  link(userId: string, more?: Record<string, unknown>): Promise<Json>;
  /** The address that signs this user in, as a backend would get it. */
  ticket(userId: string, connectUrl: string): Promise<string>;
  /** From a backend's page to the provider's first page. */
  toProvider(browser: Browser, userId: string, connectUrl: string): Promise<Seen>;
  /** The whole way, by ticket. */
  connect(userId: string, login: string, connectUrl: string): Promise<Seen>;
  credential(credentialId: string): Promise<Json>;
  events(action: string): Promise<Json[]>;
  close(): Promise<void>;
}

export const connectorId = 'mail';
export const scopes = ['openid', 'offline_access', 'mail.read'];

export async function startOAuthStage(
  options: { database?: TestDatabase; provider?: OAuthServerOptions; oauth?: Record<string, unknown> } = {},
): Promise<OAuthStage> {
  const rig = await startRig({ ...(options.database && { database: options.database }) });
  const upstream = await startRecordingUpstream({ record: true });
  const provider = await startOAuthServer({
    callback: `${rig.url}/oauth/callback`,
    resource: upstream.url,
    ...options.provider,
  });
  const appUrl = 'https://app.example.com/connected?from=valet';
  await rig.manage('PUT', '/api/settings', { redirectUris: [appUrl] });
  await rig.manage('POST', '/api/connectors', {
    connectorId,
    name: 'Mail <b>& more</b>',
    kind: 'mcp-http',
    url: upstream.url,
    oauth: options.oauth ?? {
      issuer: provider.issuer,
      clientId: provider.clientId,
      clientSecret: provider.clientSecret,
      scopes,
      authorizationParams: { prompt: 'consent' },
    },
  });
  const keyOf = async (username: string): Promise<string> => {
    await rig.manage('POST', '/users', { username });
    return (await rig.manage('POST', `/users/${username}/keys`, { key_name: username })).api_key;
  };
  const keys = { alice: await keyOf('alice'), bob: await keyOf('bob') };
  const { account } = await rig.manage('GET', '/api/me');
  const stage: OAuthStage = {
    rig,
    provider,
    upstream,
    accountId: account.accountId,
    keys,
    appUrl,
    link: (userId, more) =>
      rig.manage('POST', '/api/credentials', {
        userId,
        connectorId,
        authenticationType: 'oauth2',
        credentialId: `cred-${userId}-${randomBytes(4).toString('hex')}`,
        ...more,
      }),
    ticket: async (userId, connectUrl) =>
      (await rig.manage('POST', '/api/connect/tickets', { userId, connectUrl })).url,
    async toProvider(browser, userId, connectUrl) {
      const consent = await browser.open(await stage.ticket(userId, connectUrl));
      if (consent.status !== 200) throw new Error(`no consent page: ${consent.status} ${consent.text}`);
      return browser.submit(consent);
    },
    async connect(userId, login, connectUrl) {
      const browser = new Browser();
      const page = await stage.toProvider(browser, userId, connectUrl);
      return provider.agree(browser, page, login, stage.appUrl);
    },
    credential: (id) => rig.manage('GET', `/api/credentials/${id}`),
    events: async (action) => (await rig.manage('GET', `/api/audit?action=${action}&limit=200`)).events,
    async close() {
      await rig.close();
      await provider.close();
      await upstream.close();
    },
  };
  return stage;
}

/** What a page or address must not say before anybody is proven. */
export const strange = (text: string): string[] =>
  ['alice', 'bob', 'mail', 'cred-'].filter((word) => text.toLowerCase().includes(word));
