// OAuth 2.0 connect against a real provider, driven like a browser: Alice and Bob each connect their own account, by ticket and by their own
// key, and what comes of it is theirs and nobody else's.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { Browser } from './oauth-browser.ts';
import { connectorId, type OAuthStage, scopes, startOAuthStage, strange } from './oauth-stage.ts';

describe.each(testDatabases())('connecting on $kind', ({ open }) => {
  let stage: OAuthStage;
  beforeAll(async () => {
    stage = await startOAuthStage({ database: await open() });
  }, 60_000);
  afterAll(() => stage?.close());

  const bearerAt = async (userId: string, credentialId: string): Promise<string> => {
    const before = stage.upstream.recorded.length;
    const answer = await stage.rig.send('/mcp/tool/call', {
      key: stage.rig.admin,
      body: { username: userId, serverName: connectorId, methodName: 'echo', args: { text: 'x' } },
      headers: { 'x-credential-id': credentialId },
    });
    expect(answer.status, answer.text).toBe(200);
    const sent = stage.upstream.recorded.slice(before).map(({ headers }) => String(headers['authorization']));
    expect(new Set(sent).size).toBe(1);
    return sent[0] ?? '';
  };

  it('gives a pending credential with a link that names nobody', async () => {
    const made = await stage.link('alice');
    expect(made).toMatchObject({ authenticationType: 'oauth2', status: 'pending', shared: false, secretNames: [] });
    expect(made.oauthUrl).toMatch(new RegExp(`^${stage.rig.url}/connect/[A-Za-z0-9_-]{43}$`));
    const minutes = (Date.parse(made.expiresAt) - Date.now()) / 60_000;
    expect(minutes).toBeGreaterThan(9);
    expect(minutes).toBeLessThanOrEqual(10.1);
    // Shown once: reading the credential does not give it again.
    expect(await stage.credential(made.credentialId)).not.toHaveProperty('oauthUrl');
  });

  it('hands out an open link again, and another one to somebody else', async () => {
    const made = await stage.link('alice');
    const again = await stage.rig.manage('POST', `/api/credentials/${made.credentialId}/connect`);
    expect(again.oauthUrl).toBe(made.oauthUrl);
    expect((await stage.link('alice')).oauthUrl).not.toBe(made.oauthUrl);
    expect((await stage.link('bob')).oauthUrl).not.toBe(made.oauthUrl);
  });

  it('connects Alice by ticket and Bob by his own key, each to their own account', async () => {
    const alice = await stage.link('alice', { isDefault: true });
    const last = await stage.connect('alice', 'alice@provider', alice.oauthUrl);
    expect(last.status, last.text).toBe(200);
    expect(last.text).toContain('is connected');

    const bob = await stage.link('bob', { isDefault: true });
    const browser = new Browser();
    const who = await browser.open(bob.oauthUrl);
    expect(who.status).toBe(200);
    expect(strange(who.text)).toEqual([]);
    const consent = await browser.submit(who, { key: stage.keys.bob });
    expect(consent.text).toContain('<dd>bob</dd>');
    expect(consent.text).toContain('Mail &lt;b&gt;&amp; more&lt;/b&gt;');
    expect(consent.text).toContain(new URL(stage.provider.issuer).host);
    for (const scope of scopes) expect(consent.text).toContain(`<code>${scope}</code>`);
    const there = await browser.submit(consent);
    expect(there.url.startsWith(stage.provider.issuer)).toBe(true);
    const done = await stage.provider.agree(browser, there, 'bob@provider');
    expect(done.text).toContain('is connected');

    for (const { credentialId } of [alice, bob]) {
      const stored = await stage.credential(credentialId);
      expect(stored).toMatchObject({
        status: 'valid',
        // What the provider gave for this resource, not what was asked.
        scopes: ['mail.read'],
        secretNames: ['oauth.access_token', 'oauth.id_token', 'oauth.refresh_token'],
      });
      expect(Date.parse(stored.tokenExpiresAt) - Date.now()).toBeGreaterThan(3_500_000);
    }
    const rows = await stage.rig.sql<{ id: string; subject: string }>(
      stage.accountId,
      'select id, subject from credentials where id in ($1, $2) order by user_id = (select user_id from credentials where id = $1) desc',
      [alice.credentialId, bob.credentialId],
    );
    expect(rows.map(({ subject }) => subject)).toEqual(['alice@provider', 'bob@provider']);

    const [first, second] = [await bearerAt('alice', alice.credentialId), await bearerAt('bob', bob.credentialId)];
    expect(first).toMatch(/^Bearer \S{20,}$/);
    expect(second).toMatch(/^Bearer \S{20,}$/);
    expect(first).not.toBe(second);
    // Write-only: the tokens are in no answer and not in the clear in any row.
    const shown = await stage.rig.send('/api/credentials?limit=200', { key: stage.rig.admin });
    const sealed = await stage.rig.sql<{ text: string }>(
      stage.accountId,
      `select encode(sealed, 'escape') as text from secrets`,
    );
    for (const token of [first, second].map((bearer) => bearer.slice(7))) {
      expect(shown.text).not.toContain(token);
      expect(sealed.some(({ text }) => text.includes(token))).toBe(false);
    }
  });

  it('asks with PKCE S256, a fresh state, the exact return address and the resource', async () => {
    const made = await stage.link('alice');
    const browser = new Browser();
    await stage.toProvider(browser, 'alice', made.oauthUrl);
    const first = stage.provider.authorizations.at(-1);
    await browser.submit(await browser.open(made.oauthUrl));
    const second = stage.provider.authorizations.at(-1);
    for (const asked of [first, second]) {
      expect(asked?.get('code_challenge_method')).toBe('S256');
      expect(asked?.get('code_challenge')).toMatch(/^[\w-]{43}$/);
      expect(asked?.get('redirect_uri')).toBe(`${stage.rig.url}/oauth/callback`);
      expect(asked?.get('resource')).toBe(stage.upstream.url);
      expect(asked?.get('scope')).toBe(scopes.join(' '));
    }
    expect(first?.get('state')).not.toBe(second?.get('state'));
    expect(first?.get('code_challenge')).not.toBe(second?.get('code_challenge'));
    expect(made.oauthUrl).not.toContain(first?.get('state'));
  });

  it('returns to the listed address with what came of it', async () => {
    const yes = await stage.link('alice', { redirectUri: stage.appUrl });
    const done = await stage.connect('alice', 'alice@provider', yes.oauthUrl);
    expect(done.url).toBe(`${stage.appUrl}&status=connected&credentialId=${yes.credentialId}`);

    const no = await stage.link('alice', { redirectUri: stage.appUrl });
    const browser = new Browser();
    const page = await stage.toProvider(browser, 'alice', no.oauthUrl);
    const refused = await stage.provider.refuse(browser, page, 'alice@provider', stage.appUrl);
    expect(refused.url).toBe(`${stage.appUrl}&status=error&error=access_denied&credentialId=${no.credentialId}`);
    expect((await stage.credential(no.credentialId)).status).toBe('pending');
  });

  it('takes the return address from x-redirect-uri too, and refuses every other one', async () => {
    const body = { userId: 'alice', connectorId, authenticationType: 'oauth2' };
    const listed = await stage.rig.send('/api/credentials', {
      key: stage.rig.admin,
      body,
      headers: { 'x-redirect-uri': stage.appUrl },
    });
    expect(listed.status, listed.text).toBe(201);
    const [row] = await stage.rig.sql<{ redirect_uri: string }>(
      stage.accountId,
      'select redirect_uri from connect_requests where credential_id = $1',
      [listed.body.credentialId],
    );
    expect(row?.redirect_uri).toBe(stage.appUrl);
    const wrong = [
      `${stage.appUrl}&x=1`,
      `${stage.appUrl}#x`,
      stage.appUrl.toUpperCase(),
      'https://evil.example/',
      'javascript:alert(1)',
    ];
    for (const redirectUri of wrong) {
      for (const sent of [{ body: { ...body, redirectUri } }, { body, headers: { 'x-redirect-uri': redirectUri } }]) {
        const answer = await stage.rig.send('/api/credentials', { key: stage.rig.admin, ...sent });
        expect([answer.status, answer.body.error.code], redirectUri).toEqual([400, 'INVALID_REQUEST']);
      }
    }
  });

  it('keeps tokens that a backend deposits, without a browser', async () => {
    const tokens = {
      accessToken: 'deposited-access-1',
      refreshToken: 'deposited-refresh-1',
      expiresIn: 7200,
      scopes: ['a'],
    };
    const made = await stage.link('bob', { tokens });
    expect(made).toMatchObject({
      status: 'valid',
      scopes: ['a'],
      secretNames: ['oauth.access_token', 'oauth.refresh_token'],
    });
    expect(made).not.toHaveProperty('oauthUrl');
    expect(await bearerAt('bob', made.credentialId)).toBe('Bearer deposited-access-1');
    const path = `/api/credentials/${made.credentialId}`;
    const changed = await stage.rig.manage('PATCH', path, { tokens: { accessToken: 'deposited-access-2' } });
    expect(changed).toMatchObject({ status: 'valid', secretNames: ['oauth.access_token'], tokenExpiresAt: null });
    expect(await bearerAt('bob', made.credentialId)).toBe('Bearer deposited-access-2');
  });

  it('keeps its own secret names to itself', async () => {
    const { credentialId } = await stage.link('alice');
    const secretName = 'oauth.access_token';
    const tries = [
      stage.rig.send('/secrets/set', {
        key: stage.keys.alice,
        body: { serverName: connectorId, secretName, secretValue: 'mine' },
      }),
      stage.rig.send('/api/credentials', {
        key: stage.keys.alice,
        body: { connectorId, authenticationType: 'secrets', fields: { [secretName]: 'mine' } },
      }),
      stage.rig.send(`/api/credentials/${credentialId}`, {
        method: 'PATCH',
        key: stage.keys.alice,
        body: { fields: { [secretName]: 'mine' } },
      }),
    ];
    for (const answer of await Promise.all(tries)) expect(answer.status, answer.text).toBe(400);
    expect((await stage.credential(credentialId)).secretNames).toEqual([]);
  });

  it('lets nobody but the account share a credential', async () => {
    const body = { connectorId, authenticationType: 'oauth2', tokens: { accessToken: 'shared-access' }, shared: true };
    expect((await stage.rig.send('/api/credentials', { key: stage.keys.alice, body })).status).toBe(403);
    const made = await stage.rig.manage('POST', '/api/credentials', { ...body, userId: 'alice' });
    expect(made.shared).toBe(true);
    const path = `/api/credentials/${made.credentialId}`;
    const own = await stage.rig.send(path, { method: 'PATCH', key: stage.keys.alice, body: { shared: false } });
    expect(own.status).toBe(403);
    expect((await stage.rig.manage('PATCH', path, { shared: false })).shared).toBe(false);
  });

  it('connects again to the same account only, and keeps what it has otherwise', async () => {
    const made = await stage.link('alice');
    await stage.connect('alice', 'alice@provider', made.oauthUrl);
    const before = await bearerAt('alice', made.credentialId);
    const path = `/api/credentials/${made.credentialId}/connect`;

    const other = await stage.rig.manage('POST', path);
    expect(other.oauthUrl).not.toBe(made.oauthUrl);
    const refused = await stage.connect('alice', 'somebody-else@provider', other.oauthUrl);
    expect(refused.text).toContain('another account');
    expect(await bearerAt('alice', made.credentialId)).toBe(before);
    expect((await stage.credential(made.credentialId)).status).toBe('valid');

    const same = await stage.rig.manage('POST', path);
    expect((await stage.connect('alice', 'alice@provider', same.oauthUrl)).text).toContain('is connected');
    expect(await bearerAt('alice', made.credentialId)).not.toBe(before);
  });

  it('keeps the refresh token when the same account comes back without a new one', async () => {
    const made = await stage.link('bob');
    await stage.connect('bob', 'bob@provider', made.oauthUrl);
    const before = await bearerAt('bob', made.credentialId);
    const { oauth } = await stage.rig.manage('GET', `/api/connectors/${connectorId}`);
    const { hasClientSecret, ...settings } = oauth;
    expect(hasClientSecret).toBe(true);
    const change = (wanted: string[]) =>
      stage.rig.manage('PUT', `/api/connectors/${connectorId}`, { oauth: { ...settings, scopes: wanted } });
    await change(['openid', 'mail.read']);
    try {
      const again = await stage.rig.manage('POST', `/api/credentials/${made.credentialId}/connect`);
      expect((await stage.connect('bob', 'bob@provider', again.oauthUrl)).text).toContain('is connected');
      expect((await stage.credential(made.credentialId)).secretNames).toContain('oauth.refresh_token');
      expect(await bearerAt('bob', made.credentialId)).not.toBe(before);
      const fresh = await stage.link('bob');
      await stage.connect('bob', 'bob@provider', fresh.oauthUrl);
      expect((await stage.credential(fresh.credentialId)).secretNames).not.toContain('oauth.refresh_token');
    } finally {
      await change(scopes);
    }
  });

  it('tells the trail what happened, and never a value', async () => {
    const made = await stage.link('alice');
    await stage.connect('alice', 'alice@provider', made.oauthUrl);
    const ticketEvents = await stage.events('credential.ticket');
    expect(ticketEvents.some(({ target, outcome }) => target === made.credentialId && outcome === 'ok')).toBe(true);
    const [event] = (await stage.events('credential.connected')).filter(({ target }) => target === made.credentialId);
    expect(event).toMatchObject({
      outcome: 'ok',
      details: { connector: connectorId, scopes: ['mail.read'], renewable: true },
    });
    const bearer = (await bearerAt('alice', made.credentialId)).slice(7);
    expect(JSON.stringify(await stage.events('credential.connected'))).not.toContain(bearer);
  });

  it('gives an agent the link through create_credential_alloy, the same one when it asks again', async () => {
    const { serverId } = await stage.rig.manage('POST', '/api/servers', { name: `agents-${Date.now()}` });
    const call = async () => {
      const answer = await stage.rig.rpc(
        `/mcp/${serverId}`,
        {
          method: 'tools/call',
          params: { name: 'create_credential_alloy', arguments: { connectorId, authenticationType: 'oauth2' } },
        },
        { key: stage.keys.bob },
      );
      return JSON.parse(answer.body.result.content[0].text);
    };
    const [first, again] = [await call(), await call()];
    expect(first).toMatchObject({ status: 'pending', oauthUrl: expect.stringContaining('/connect/') });
    expect(Date.parse(first.expiresAt)).toBeGreaterThan(Date.now());
    expect(again).toEqual(first);
  });
});
