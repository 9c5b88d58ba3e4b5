// What a sign-in link, a ticket, a state and a code are worth in the wrong hands or a second time: nothing. Real provider, real pages.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sweepLinks } from '../../packages/server/src/credentials/oauth/connect-store.ts';
import { installationScope, withScope } from '../../packages/server/src/db/scope.ts';
import { openTestDatabase } from '../support/database.ts';
import { Browser, type Seen } from './oauth-browser.ts';
import { type OAuthStage, startOAuthStage, strange } from './oauth-stage.ts';

describe('a sign-in', () => {
  let stage: OAuthStage;
  let browser: Browser;
  beforeAll(async () => {
    stage = await startOAuthStage({ database: await openTestDatabase('pglite') });
  }, 60_000);
  afterAll(() => stage?.close());
  beforeEach(() => {
    browser = new Browser();
  });

  const ended = (page: Seen): void => {
    expect([page.status, page.text.includes('This link has ended')]).toEqual([404, true]);
    expect(strange(page.text)).toEqual([]);
  };
  const expectPending = async (credentialId: string): Promise<void> => {
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'pending', secretNames: [] });
  };
  const refusals = async (credentialId: string): Promise<string[]> =>
    (await stage.events('credential.connected'))
      .filter(({ target, outcome }) => target === credentialId && outcome === 'refused')
      .map(({ reason }) => reason);
  const tokenRequests = (): number => stage.provider.requests.filter((one) => one === 'POST /token').length;
  /** From the link to the provider's answer, which the browser holds but has not followed. */
  async function answered(oauthUrl: string, login = 'alice@provider'): Promise<URL> {
    const page = await stage.toProvider(browser, 'alice', oauthUrl);
    const back = await stage.provider.agree(browser, page, login, `${stage.rig.url}/oauth/callback`);
    return new URL(back.url);
  }
  const expire = (credentialId: string) =>
    stage.rig.sql(
      stage.accountId,
      `update connect_requests set expires_at = now() - interval '1 second', ticket_expires_at = now() - interval '1 second'
        where credential_id = $1 returning hash`,
      [credentialId],
    );

  describe('by somebody else', () => {
    it('is refused to Bob with Alice’s link, recorded, and void after five tries', async () => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      for (let miss = 1; miss <= 5; miss++) {
        const another = new Browser();
        const refused = await another.submit(await another.open(oauthUrl), { key: stage.keys.bob });
        expect(refused.status).toBe(403);
        expect(strange(refused.text)).toEqual([]);
        expect(await refusals(credentialId)).toEqual(Array(miss).fill('another_user'));
      }
      ended(await browser.open(oauthUrl));
      const events = await stage.events('credential.connected');
      expect(events.find(({ target }) => target === credentialId)).toMatchObject({ details: { void: true } });
      await expectPending(credentialId);
    });

    it('stays good for Alice after four of them', async () => {
      const { oauthUrl } = await stage.link('alice');
      for (let miss = 1; miss <= 4; miss++) await browser.submit(await browser.open(oauthUrl), { key: stage.keys.bob });
      const consent = await browser.submit(await browser.open(oauthUrl), { key: stage.keys.alice });
      expect(consent.text).toContain('<dd>alice</dd>');
    });

    it.each([
      ['an admin key', () => stage.rig.admin],
      ['a made-up key', () => `mcpv_std_${'x'.repeat(49)}`],
      ['nothing', () => ''],
    ])('is not proven by %s', async (_, key) => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const page = await browser.submit(await browser.open(oauthUrl), { key: key() });
      expect(page.status).toBe(403);
      expect(strange(page.text)).toEqual([]);
      expect(await refusals(credentialId)).toHaveLength(1);
    });

    it('cannot be vouched for with a ticket for another user, another account, or by a user', async () => {
      const { oauthUrl } = await stage.link('alice');
      const { apiKey } = await stage.rig.manage('POST', '/api/accounts', { name: `other-${Date.now()}` });
      await stage.rig.manage('POST', '/users', { username: 'alice' }, apiKey);
      const tickets = async (key: string, body: object) => {
        const answer = await stage.rig.send('/api/connect/tickets', { key, body });
        return [answer.status, answer.body.error.code];
      };
      expect(await tickets(stage.rig.admin, { connectUrl: oauthUrl, userId: 'bob' })).toEqual([404, 'NOT_FOUND']);
      expect(await tickets(apiKey, { connectUrl: oauthUrl, userId: 'alice' })).toEqual([404, 'NOT_FOUND']);
      expect(await tickets(stage.keys.alice, { connectUrl: oauthUrl, userId: 'alice' })).toEqual([403, 'FORBIDDEN']);
      const nowhere = `${oauthUrl.slice(0, -4)}AAAA`;
      expect(await tickets(stage.rig.admin, { connectUrl: nowhere, userId: 'alice' })).toEqual([404, 'NOT_FOUND']);
    });

    it('does not finish what Alice began: the answer belongs to her browser', async () => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const callback = await answered(oauthUrl);
      const before = tokenRequests();
      const stolen = await new Browser().open(callback.href);
      expect(stolen.status).toBe(403);
      expect(strange(stolen.text)).toEqual([]);
      expect(tokenRequests()).toBe(before);
      expect(await refusals(credentialId)).toEqual(['another_browser']);
      // And is still Alice's.
      expect((await browser.open(callback.href)).text).toContain('is connected');
    });

    it('cannot push a browser into a form: without its cookie and token nothing is looked at', async () => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const post = (headers: Record<string, string>, body: Record<string, string>) =>
        fetch(oauthUrl, { method: 'POST', headers, body: new URLSearchParams(body), redirect: 'manual' });
      const blind = await post({}, { step: 'sign-in', key: stage.keys.alice });
      expect(blind.status).toBe(403);
      const foreign = await post({ origin: 'https://evil.example' }, { step: 'sign-in', key: stage.keys.alice });
      expect(foreign.status).toBe(403);
      await browser.open(await stage.ticket('alice', oauthUrl));
      const consent = await browser.open(oauthUrl);
      const tampered = { ...consent, text: consent.text.replace(/name="csrf" value="[^"]*"/, 'name="csrf" value="x"') };
      expect((await browser.submit(tampered)).status).toBe(403);
      expect(await refusals(credentialId)).toEqual([]);
      await expectPending(credentialId);
    });
  });

  describe('a second time', () => {
    it('ends with the first: link, ticket, state and code are spent', async () => {
      const { oauthUrl } = await stage.link('alice');
      const ticketUrl = await stage.ticket('alice', oauthUrl);
      const consent = await browser.open(ticketUrl);
      const other = new Browser();
      const reused = await other.open(ticketUrl);
      expect(reused.status).toBe(403);
      expect(strange(reused.text)).toEqual([]);
      const page = await browser.submit(consent);
      const back = await stage.provider.agree(browser, page, 'alice@provider', `${stage.rig.url}/oauth/callback`);
      expect((await browser.open(back.url)).text).toContain('is connected');
      const before = tokenRequests();
      ended(await browser.open(back.url));
      ended(await browser.open(oauthUrl));
      ended(await browser.open(ticketUrl));
      expect(tokenRequests()).toBe(before);
    });

    it('of two answers with one state at a time connects once', async () => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const callback = await answered(oauthUrl);
      const before = tokenRequests();
      const pages = await Promise.all(Array.from({ length: 5 }, () => browser.open(callback.href)));
      expect(pages.filter(({ text }) => text.includes('is connected'))).toHaveLength(1);
      expect(tokenRequests()).toBe(before + 1);
      expect((await stage.credential(credentialId)).status).toBe('valid');
    });

    it('a newer authorization of the link replaces the older one', async () => {
      const { oauthUrl } = await stage.link('alice');
      const first = await answered(oauthUrl);
      const page = await browser.submit(await browser.open(oauthUrl));
      ended(await browser.open(first.href));
      expect((await stage.provider.agree(browser, page, 'alice@provider')).text).toContain('is connected');
    });
  });

  describe('too late', () => {
    it('ends the link, the ticket and the way back', async () => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const ticketUrl = await stage.ticket('alice', oauthUrl);
      const callback = await answered(oauthUrl);
      expect(await expire(credentialId)).toHaveLength(1);
      for (const url of [oauthUrl, ticketUrl, callback.href]) ended(await browser.open(url));
      await expectPending(credentialId);
      const again = await stage.rig.manage('POST', `/api/credentials/${credentialId}/connect`);
      expect(again.oauthUrl).not.toBe(oauthUrl);
    });

    it('looks the same as a link that never was', async () => {
      const page = await browser.open(`${stage.rig.url}/connect/${'A'.repeat(43)}`);
      ended(page);
      const { oauthUrl, credentialId } = await stage.link('alice');
      await expire(credentialId);
      expect((await browser.open(oauthUrl)).text).toBe(page.text);
      expect((await browser.open(`${stage.rig.url}/connect/short`)).text).toBe(page.text);
      expect((await browser.open(`${stage.rig.url}/oauth/callback?state=x&code=y`)).text).toBe(page.text);
    });

    it('is over when the user is disabled or the credential is gone', async () => {
      const { oauthUrl, credentialId } = await stage.link('bob');
      await stage.rig.manage('PATCH', '/users/bob/enable', { enabled: false });
      ended(await browser.open(oauthUrl));
      await stage.rig.manage('PATCH', '/users/bob/enable', { enabled: true });
      expect((await browser.open(oauthUrl)).status).toBe(200);
      await stage.rig.manage('DELETE', `/api/credentials/${credentialId}`);
      ended(await browser.open(oauthUrl));
    });
  });

  describe('with a tampered answer', () => {
    it.each([
      ['another issuer', (url: URL) => url.searchParams.set('iss', 'https://evil.example')],
      ['no issuer, which this provider always sends', (url: URL) => url.searchParams.delete('iss')],
      ['the code twice', (url: URL) => url.searchParams.append('code', 'another')],
    ])('with %s, never redeems the code', async (_, tamper) => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const callback = await answered(oauthUrl);
      tamper(callback);
      const before = tokenRequests();
      const page = await browser.open(callback.href);
      expect(page.status).toBe(400);
      expect(tokenRequests()).toBe(before);
      await expectPending(credentialId);
      expect(await refusals(credentialId)).toHaveLength(1);
      ended(await browser.open(callback.href));
    });

    it('with the code of another authorization, is refused by the provider: the verifier is another', async () => {
      const mallory = await stage.link('bob');
      const theirs = new Browser();
      const theirPage = await stage.toProvider(theirs, 'bob', mallory.oauthUrl);
      const stolen = await stage.provider.agree(
        theirs,
        theirPage,
        'mallory@provider',
        `${stage.rig.url}/oauth/callback`,
      );
      const { oauthUrl, credentialId } = await stage.link('alice');
      const callback = await answered(oauthUrl);
      callback.searchParams.set('code', new URL(stolen.url).searchParams.get('code') ?? '');
      const page = await browser.open(callback.href);
      expect(page.status).toBe(400);
      await expectPending(credentialId);
      expect(await refusals(credentialId)).toEqual(['provider:invalid_grant']);
    });

    it('with a refusal of the person, connects nothing and says so', async () => {
      const { oauthUrl, credentialId } = await stage.link('alice');
      const page = await stage.toProvider(browser, 'alice', oauthUrl);
      const refused = await stage.provider.refuse(browser, page, 'alice@provider');
      expect(refused.text).toContain('Nothing was connected');
      expect(await refusals(credentialId)).toEqual(['access_denied']);
      await expectPending(credentialId);
    });
  });

  describe('as pages', () => {
    it('runs no scripts, is in no frame, is not kept, and tells no other site its address', async () => {
      const { oauthUrl } = await stage.link('alice');
      const pages = [
        await browser.open(`${stage.rig.url}/connect/${'B'.repeat(43)}`),
        await browser.open(oauthUrl),
        await browser.open(await stage.ticket('alice', oauthUrl)),
      ];
      for (const { headers, text } of pages) {
        const policy = headers.get('content-security-policy') ?? '';
        expect(policy).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'/);
        expect(policy).toContain("frame-ancestors 'none'");
        expect(policy).toContain("base-uri 'none'");
        expect(headers.get('referrer-policy')).toBe('no-referrer');
        expect(headers.get('cache-control')).toBe('no-store');
        expect(headers.get('x-content-type-options')).toBe('nosniff');
        expect(text).not.toMatch(/<script|javascript:|\son\w+=|<img|<link/i);
        expect(text).not.toContain('<b>');
      }
    });

    it('keeps the ticket out of the address at once, and the cookie from scripts and other sites', async () => {
      const { oauthUrl } = await stage.link('alice');
      const first = await fetch(await stage.ticket('alice', oauthUrl), { redirect: 'manual' });
      expect([first.status, first.headers.get('location')]).toEqual([303, oauthUrl]);
      const [cookie = ''] = first.headers.getSetCookie();
      expect(cookie).toMatch(/^valet-connect-[0-9a-f]{12}=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
      expect(oauthUrl).not.toContain(/=([\w-]{43})/.exec(cookie)?.[1]);
    });

    it('does not let a link preview use up a ticket', async () => {
      const { oauthUrl } = await stage.link('alice');
      const ticketUrl = await stage.ticket('alice', oauthUrl);
      expect((await fetch(ticketUrl, { method: 'HEAD' })).status).toBe(404);
      expect((await browser.open(ticketUrl)).text).toContain('<dd>alice</dd>');
    });

    it('leaves neither ids nor tickets, cookies or states in the database', async () => {
      const { oauthUrl } = await stage.link('alice');
      const callback = await answered(oauthUrl);
      const rows = await stage.rig.sql<{ row: string }>(
        stage.accountId,
        'select r::text as row from connect_requests r',
      );
      const all = rows.map(({ row }) => row).join('\n');
      const hexOf = (text: string) => Buffer.from(text).toString('hex');
      for (const text of [new URL(oauthUrl).pathname.slice(9), callback.searchParams.get('state') ?? '']) {
        expect(text).toHaveLength(43);
        expect(all).not.toContain(text);
        expect(all).not.toContain(hexOf(text));
      }
    });
  });

  it('leaves nothing behind when its time is over, and a live link is not touched', async () => {
    const [over, live] = [await stage.link('alice'), await stage.link('bob')];
    await expire(over.credentialId);
    await withScope(stage.rig.gateway.gateway.parts.db, installationScope, sweepLinks);
    const left = await stage.rig.sql<{ credential_id: string }>(
      stage.accountId,
      'select credential_id from connect_requests where credential_id in ($1, $2)',
      [over.credentialId, live.credentialId],
    );
    expect(left).toEqual([{ credential_id: live.credentialId }]);
  });

  it('asks for the secrets of a connector without OAuth on the same page', async () => {
    const secrets = await stage.rig.manage('POST', '/api/connectors', {
      connectorId: `keys-${Date.now()}`,
      name: 'Keys',
      kind: 'mcp-http',
      url: stage.upstream.url,
      secretNames: ['TOKEN', 'SITE'],
      inject: { headers: { authorization: 'Bearer {{TOKEN}}', 'x-site': '{{SITE}}' } },
    });
    const made = await stage.link('alice', { connectorId: secrets.connectorId, authenticationType: 'secrets' });
    expect(made.status).toBe('pending');
    const { oauthUrl } = await stage.rig.manage('POST', `/api/credentials/${made.credentialId}/connect`);
    const form = await browser.open(await stage.ticket('alice', oauthUrl));
    expect(form.text).toMatch(/TOKEN[\s\S]*SITE/);
    const empty = await browser.submit(form, { 'secret-0': 'only-one' });
    expect([empty.status, empty.text.includes('fill in every field')]).toEqual([400, true]);
    const done = await browser.submit(form, { 'secret-0': 'typed-token-1', 'secret-1': 'typed-site-1' });
    expect(done.text).toContain('is connected');
    ended(await browser.open(oauthUrl));
    expect(await stage.credential(made.credentialId)).toMatchObject({
      status: 'valid',
      secretNames: ['SITE', 'TOKEN'],
    });
  });
});
