// Upstream MCP servers with MCP authorization: the connector says `oauth: {}` and nothing else. The gateway asks the upstream who guards it
// (RFC 9728), becomes a client there by its metadata document or by registration, and connects users through the same pages.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Json, type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { Browser, type Seen } from './oauth-browser.ts';
import { type OAuthServer, startOAuthServer } from './oauth-provider.ts';

const publicUrl = 'https://valet.example.com';

interface Guarded {
  upstream: RecordingUpstream;
  /** What the upstream publishes; a test may change it. */
  document: Record<string, unknown>;
  challenge: string;
}

/** An MCP server that answers 401 with its metadata to everybody without a token. */
async function startGuarded(issuer: () => string): Promise<Guarded> {
  const guarded = { document: {}, challenge: '' } as Guarded;
  guarded.upstream = await startRecordingUpstream({
    record: true,
    intercept: ({ url, headers }) => {
      if (url.startsWith('/.well-known/oauth-protected-resource')) {
        const document = { authorization_servers: [issuer()], scopes_supported: ['mail.read'], ...guarded.document };
        return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(document) };
      }
      if (url.startsWith('/.well-known/')) return { status: 404 };
      if (headers.authorization !== undefined) return undefined;
      return { status: 401, headers: { 'www-authenticate': guarded.challenge } };
    },
  });
  const { origin } = new URL(guarded.upstream.url);
  guarded.document = { resource: guarded.upstream.url };
  guarded.challenge = `Bearer realm="x, y", resource_metadata="${origin}/.well-known/oauth-protected-resource/here", scope="openid mail.read"`;
  return guarded;
}

describe('MCP authorization', () => {
  let rig: Rig;
  let guarded: Guarded;
  let registering: OAuthServer;
  let reading: OAuthServer;
  let issuer = '';
  beforeAll(async () => {
    rig = await startRig({ env: { VALET_PUBLIC_URL: publicUrl } });
    guarded = await startGuarded(() => issuer);
    const resource = guarded.upstream.url;
    registering = await startOAuthServer({ resource });
    reading = await startOAuthServer({
      resource,
      features: { clientIdMetadataDocument: { enabled: true, ack: 'draft-02' }, registration: { enabled: false } },
      // The public name of the gateway leads to it. Without the provider's own dispatcher, which would look the name up.
      fetch: (url, options) => {
        const { headers, signal, redirect } = options as RequestInit;
        const address = url instanceof Request ? url.url : url.toString();
        return fetch(address.replace(publicUrl, rig.url), {
          ...(headers && { headers }),
          ...(signal && { signal }),
          ...(redirect && { redirect }),
        });
      },
    });
    await rig.manage('POST', '/users', { username: 'alice' });
  }, 60_000);
  afterAll(async () => {
    await rig?.close();
    await registering?.close();
    await reading?.close();
    await guarded?.upstream.close();
  });

  const add = async (oauth: Record<string, unknown> = {}): Promise<string> => {
    const connectorId = `mcp-${randomBytes(4).toString('hex')}`;
    await rig.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: guarded.upstream.url, oauth });
    return connectorId;
  };
  const link = (connectorId: string): Promise<Json> =>
    rig.manage('POST', '/api/credentials', { userId: 'alice', connectorId, authenticationType: 'oauth2' });
  const newBrowser = () => new Browser({ [publicUrl]: rig.url });
  const consentPage = async (browser: Browser, connectUrl: string): Promise<Seen> => {
    const { url } = await rig.manage('POST', '/api/connect/tickets', { userId: 'alice', connectUrl });
    return browser.open(url);
  };
  const bearerAt = async (serverName: string): Promise<string> => {
    const before = guarded.upstream.recorded.length;
    const body = { username: 'alice', serverName, methodName: 'echo', args: { text: 'hi' } };
    const answer = await rig.send('/mcp/tool/call', { key: rig.admin, body });
    expect(answer.status, answer.text).toBe(200);
    return String(guarded.upstream.recorded.slice(before).at(-1)?.headers.authorization);
  };

  it.each([
    ['registers itself once where the server takes registrations', () => registering],
    ['shows its metadata document where the server reads those', () => reading],
  ])('%s, and connects', async (_, serverOf) => {
    const server = serverOf();
    issuer = server.issuer;
    const connectorId = await add();
    const made = await link(connectorId);
    const browser = newBrowser();
    const consent = await consentPage(browser, made.oauthUrl);
    expect(consent.text).toContain(new URL(issuer).host);
    expect(consent.text).toContain('<code>mail.read</code>');
    const page = await browser.submit(consent);
    const done = await server.agree(browser, page, 'alice@provider');
    expect(server.errors).toEqual([]);
    expect(done.text).toContain('is connected');
    expect(server.authorizations.at(-1)?.get('resource')).toBe(guarded.upstream.url);
    expect((await rig.manage('GET', `/api/credentials/${made.credentialId}`)).status).toBe('valid');
    expect(await bearerAt(connectorId)).toMatch(/^Bearer \S{20,}$/);

    // Another user's sign-in uses the same client.
    const again = newBrowser();
    await again.submit(await consentPage(again, (await link(connectorId)).oauthUrl));
    const clients = server.authorizations.slice(-2).map((asked) => asked.get('client_id'));
    expect(clients[1]).toBe(clients[0]);
    const registrations = server.requests.filter((request) => request === 'POST /reg').length;
    expect([registrations, clients[0] === `${publicUrl}/oauth/client.json`]).toEqual(
      server === registering ? [1, false] : [0, true],
    );
  });

  it('publishes what it is as a client', async () => {
    const answer = await rig.send('/oauth/client.json');
    expect(answer.body).toMatchObject({
      client_id: `${publicUrl}/oauth/client.json`,
      redirect_uris: [`${publicUrl}/oauth/callback`],
      token_endpoint_auth_method: 'none',
    });
  });

  it('keeps its cookie to the one host over https', async () => {
    const connectorId = await add();
    const browser = newBrowser();
    await consentPage(browser, (await link(connectorId)).oauthUrl);
    expect(browser.cookieNames('valet.example.com')).toEqual([expect.stringMatching(/^__Host-valet-connect-/)]);
    const { url } = await rig.manage('POST', '/api/connect/tickets', {
      userId: 'alice',
      connectUrl: (await link(connectorId)).oauthUrl,
    });
    const answer = await fetch(url.replace(publicUrl, rig.url), { redirect: 'manual' });
    expect(answer.headers.getSetCookie()[0]).toMatch(/; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/);
  });

  it.each([
    ['speaks for another resource', { resource: 'https://elsewhere.example/mcp' }],
    ['names no authorization server', { authorization_servers: [] }],
    ['names a server on a forbidden address', { authorization_servers: ['http://169.254.169.254/'] }],
    ['names a server whose metadata is another’s', { authorization_servers: ['ISSUER/other'] }],
  ])('goes nowhere when the document %s', async (_, wrong) => {
    issuer = registering.issuer;
    const before = guarded.document;
    const text = JSON.stringify(wrong).replace('ISSUER', registering.issuer);
    guarded.document = { ...before, ...(JSON.parse(text) as object) };
    const asked = registering.authorizations.length;
    try {
      const made = await link(await add());
      const page = await consentPage(newBrowser(), made.oauthUrl);
      expect([400, 502]).toContain(page.status);
      expect(page.text).not.toContain('<form');
      expect(registering.authorizations).toHaveLength(asked);
      // Nobody has gone anywhere: the link is still good.
      guarded.document = before;
      expect((await rig.manage('GET', `/api/credentials/${made.credentialId}`)).status).toBe('pending');
    } finally {
      guarded.document = before;
    }
  });

  it('finds the document without a hint, at the well-known place', async () => {
    issuer = registering.issuer;
    const before = guarded.challenge;
    guarded.challenge = 'Bearer';
    try {
      const page = await consentPage(newBrowser(), (await link(await add())).oauthUrl);
      expect(page.text).toContain(new URL(issuer).host);
    } finally {
      guarded.challenge = before;
    }
  });

  it('says that it has no client where a server offers no way to become one', async () => {
    const closed = await startOAuthServer({
      resource: guarded.upstream.url,
      features: { registration: { enabled: false } },
    });
    try {
      issuer = closed.issuer;
      const page = await consentPage(newBrowser(), (await link(await add())).oauthUrl);
      expect([page.status, page.text.includes('did not work')]).toEqual([400, true]);
    } finally {
      await closed.close();
    }
  });

  it('uses endpoints and a client that are configured, with the secret in the body where asked to', async () => {
    const server = await startOAuthServer({
      callback: `${publicUrl}/oauth/callback`,
      resource: guarded.upstream.url,
      tokenAuth: 'client_secret_post',
    });
    try {
      const connectorId = await add({
        authorizationUrl: `${server.issuer}/auth`,
        tokenUrl: `${server.issuer}/token`,
        clientId: server.clientId,
        clientSecret: server.clientSecret,
        tokenAuth: 'client_secret_post',
        scopes: ['openid', 'mail.read'],
      });
      const shown = await rig.send(`/api/connectors/${connectorId}`, { key: rig.admin });
      expect(shown.text).not.toContain(server.clientSecret);
      const browser = newBrowser();
      const page = await browser.submit(await consentPage(browser, (await link(connectorId)).oauthUrl));
      expect((await server.agree(browser, page, 'alice@provider')).text).toContain('is connected');
      expect(server.errors).toEqual([]);
      expect(server.requests.filter((request) => request.includes('.well-known'))).toEqual([]);
    } finally {
      await server.close();
    }
  });
});
