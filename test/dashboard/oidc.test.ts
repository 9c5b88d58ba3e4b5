// Sign-in to the dashboard at an OpenID Connect issuer: who is let in, what stands for the person, and what ends it.
// At an issuer that says what the test wants; a real one is asked last. What is refused is in `oidc-refused.test`.
import { createServer } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AdminOidc } from '../../packages/server/src/config.ts';
import { openPersonKey } from '../../packages/server/src/dashboard/person.ts';
import { accountScope, withScope } from '../../packages/server/src/db/scope.ts';
import { type Json, type Rig, startRig } from '../support/gateway.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { Browser } from '../upstreams/oauth-browser.ts';
import { startOAuthServer } from '../upstreams/oauth-provider.ts';
import type { SignInIssuer } from './issuer.ts';
import {
  as,
  bare,
  comeBack,
  entered,
  hop,
  lead,
  own,
  refused,
  type SignInStage,
  somewhere,
  startSignInStage,
} from './sign-in-stage.ts';

let stage: SignInStage;
let rig: Rig;
let issuer: SignInIssuer;

beforeAll(async () => {
  stage = await startSignInStage();
  ({ rig, issuer } = stage);
});
afterAll(() => stage?.close());
beforeEach(() => Object.assign(issuer, { claims: lead, more: {}, metadata: {}, isDown: false }));

describe('signing in at an issuer', () => {
  it('is offered to the page by the issuer’s host, and begins with a cookie that scripts and plain http never see', async () => {
    const { body } = await rig.send('/admin/session', { headers: own });
    expect(body).toEqual({ session: null, issuer: new URL(issuer.issuer).host });
    const { status: code, cookies, location } = await hop(`${rig.url}/admin/oidc`, somewhere());
    expect([code, new URL(location).origin]).toEqual([303, issuer.issuer]);
    expect(cookies).toEqual([
      expect.stringMatching(/^__Host-valet_oidc=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; Secure; SameSite=Lax$/),
    ]);
    const asked = new URL(location).searchParams;
    expect(asked.get('code_challenge_method')).toBe('S256');
    // Neither the address nor the issuer's log gives away what the browser holds.
    expect(location).not.toContain(bare(cookies[0]).split('=')[1]);
    expect(new Set([asked.get('state'), asked.get('nonce'), asked.get('code_challenge')]).size).toBe(3);
  });

  it('gives a session that manages, and the trail says who it is', async () => {
    const { location, session } = await stage.enter();
    expect(location).toBe('/admin');
    const made = await rig.send('/users', { body: { username: 'by-lead' }, headers: as(session) });
    expect(made.status).toBe(201);
    const { keyId } = await stage.keyOf(session);
    const { keys } = await rig.manage('GET', '/api/keys');
    expect(keys.find((key: Json) => key.keyId === keyId)).toMatchObject({
      name: 'dashboard: lead@example.com',
      kind: 'adm',
      revoked: false,
    });
    const { events } = await rig.manage('GET', `/api/audit?actorKeyId=${keyId}`);
    expect(events.map((event: Json) => event.action)).toEqual(['user.create', 'session.create']);
    expect(events[1].details).toEqual({ issuer: issuer.issuer, subject: 'lead', email: 'lead@example.com' });
  });

  it('is the same key each time, however many browsers begin at once, and another one for another person', async () => {
    issuer.claims = { sub: 'first-time', groups: ['gateway-admins'] };
    const begun = await Promise.all(Array.from({ length: 5 }, () => stage.begin()));
    const all = await Promise.all(begun.map(async ({ back, cookie }) => entered(await comeBack(back, cookie))));
    const keyIds = new Set(await Promise.all(all.map(async ({ session }) => (await stage.keyOf(session)).keyId)));
    expect(keyIds.size).toBe(1);
    const { db, keyring } = rig.gateway.gateway.parts;
    const { account } = await rig.manage('GET', '/api/me');
    const person = { issuer: issuer.issuer, subject: 'at-once', email: undefined, groups: [] };
    const opening = (meanwhile: () => Promise<unknown>) =>
      withScope(db, accountScope(account.accountId), async (tx) => {
        const key = await openPersonKey(tx, keyring, account.accountId, person);
        await meanwhile();
        return key?.id;
      });
    let second: Promise<string | undefined> | undefined;
    const first = await opening(async () => {
      second = opening(async () => undefined);
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    expect(await second).toBe(first);
    expect(keyIds).not.toContain((await stage.keyOf((await stage.enter()).session)).keyId);
  });

  it.each([
    ['by a group', { sub: 'a', groups: ['others', 'gateway-admins'] }, {}, '/admin'],
    [
      'by what the issuer keeps to its second answer',
      { sub: 'lead' },
      { email: lead.email, email_verified: true },
      '/admin',
    ],
    ['not with an address that the issuer has not checked', { ...lead, email_verified: false }, {}, 'not_allowed'],
    ['not with an address that nobody says is checked', { sub: 'lead', email: lead.email }, {}, 'not_allowed'],
    [
      'not where only another answer says "checked"',
      { sub: 'x', email: lead.email },
      { email_verified: true },
      'not_allowed',
    ],
    ['not with a text where "true" is meant', { ...lead, email_verified: 'true' }, {}, 'not_allowed'],
    [
      'not with somebody else’s address',
      { sub: 'b', email: 'bob@example.com', email_verified: true },
      {},
      'not_allowed',
    ],
    ['not with a subject that is called like an address', { sub: 'lead@example.com' }, {}, 'not_allowed'],
    ['not with a group that only begins so', { sub: 'c', groups: ['gateway-admins-readers'] }, {}, 'not_allowed'],
    ['not with one text instead of groups', { sub: 'd', groups: 'gateway-admins' }, {}, 'not_allowed'],
  ])('lets in %s', async (_how, claims, more, expected) => {
    issuer.more = more;
    const { location, session } = await stage.enter(claims);
    expect(location).toBe(expected === '/admin' ? '/admin' : `/admin?problem=${expected}`);
    expect(await stage.status(session)).toBe(expected === '/admin' ? 200 : 401);
  });
});

describe('what a person’s sessions stand for', () => {
  it('ends them all when it is revoked, and keeps the person out for as long as it would have lived', async () => {
    const claims = { sub: 'robot-7' };
    const [one, other] = [await stage.enter(claims), await stage.enter(claims)];
    const { keyId, account } = await stage.keyOf(one.session);
    await rig.manage('PATCH', `/api/keys/${keyId}`, { scopes: ['users:read'] });
    await rig.manage('DELETE', `/api/keys/${keyId}`);
    expect([await stage.status(one.session), await stage.status(other.session)]).toEqual([401, 401]);
    expect(await stage.enter(claims)).toEqual(refused('revoked'));
    await rig.sql(account.accountId, `update api_keys set expires_at = now() - interval '1 second' where id = $1`, [
      keyId,
    ]);
    const again = await stage.enter(claims);
    expect((await stage.keyOf(again.session)).keyId).not.toBe(keyId);
    // What had been taken away is not given back by signing in once more.
    const asked = await rig.send('/users', { body: { username: 'robot-made' }, headers: as(again.session) });
    expect([await stage.status(again.session), asked.status]).toEqual([200, 403]);
  });

  it('ends them with the line that let the person in, the issuer or the account, and no session of a key', async () => {
    const { config } = rig.gateway.gateway.parts;
    const settings = config.adminOidc as AdminOidc;
    const byGroup = await stage.enter({ sub: 'grouped', groups: ['gateway-admins'] });
    const byAddress = await stage.enter();
    const signedIn = await rig.send('/admin/session', {
      body: { apiKey: rig.admin },
      headers: { ...own, origin: rig.url },
    });
    const byKey = bare(signedIn.headers.getSetCookie()[0]);
    const statuses = (adminOidc: AdminOidc | undefined) => {
      // What a gateway that is started anew would read.
      Object.assign(config, { adminOidc });
      return Promise.all([byGroup.session, byAddress.session, byKey].map(stage.status));
    };
    try {
      expect(await statuses(settings)).toEqual([200, 200, 200]);
      expect(await statuses({ ...settings, allow: ['sub:other', 'group:gateway-admins'] })).toEqual([200, 401, 200]);
      expect(await statuses({ ...settings, allow: ['email:lead@example.com'] })).toEqual([401, 200, 200]);
      expect(await statuses({ ...settings, issuer: 'https://other.example' })).toEqual([401, 401, 200]);
      expect(await statuses({ ...settings, account: 'other' })).toEqual([401, 401, 200]);
      expect(await statuses(undefined)).toEqual([401, 401, 200]);
      // The page itself is told that nobody is signed in, and the trail why.
      const asked = await rig.send('/admin/session', { headers: as(byAddress.session) });
      expect([asked.status, asked.body]).toEqual([200, { session: null }]);
      const { events } = await rig.manage('GET', '/api/audit?action=auth.sign_in&limit=5');
      expect(events.map(({ reason }: Json) => reason)).toContain('admission_ended');
      expect(await statuses(settings)).toEqual([200, 200, 200]);
    } finally {
      Object.assign(config, { adminOidc: settings });
    }
  });

  it('has no text: nobody can rotate it into one that acts under the person’s name', async () => {
    const { keyId } = await stage.keyOf((await stage.enter()).session);
    const rotated = await rig.send(`/api/keys/${keyId}/rotate`, { method: 'POST', key: rig.admin, body: {} });
    expect([rotated.status, rotated.body.error.details?.apiKey]).toEqual([422, undefined]);
  });
});

describe('at a real issuer', () => {
  it('a person signs in on its pages and comes back to the dashboard; another one is sent away', async () => {
    const reserved = createServer();
    const port = await listenOnLoopback(reserved);
    await closeServer(reserved);
    const provider = await startOAuthServer({ callback: `http://127.0.0.1:${port}/admin/oidc/callback` });
    const gateway = await startRig({
      env: {
        PORT: String(port),
        VALET_ADMIN_OIDC_ISSUER: provider.issuer,
        VALET_ADMIN_OIDC_CLIENT_ID: provider.clientId,
        VALET_ADMIN_OIDC_CLIENT_SECRET: provider.clientSecret,
        VALET_ADMIN_OIDC_ALLOW: 'sub:grace',
      },
    });
    try {
      const pages: Record<string, string> = {};
      const names: Record<string, string[]> = {};
      for (const person of ['grace', 'mallory']) {
        const browser = new Browser();
        const page = await browser.open(`${gateway.url}/admin/oidc`);
        pages[person] = (await provider.agree(browser, page, person)).url;
        names[person] = browser.cookieNames('127.0.0.1').filter((name) => name.startsWith('__Host-valet'));
      }
      expect(provider.errors).toEqual([]);
      expect(pages).toEqual({
        grace: `${gateway.url}/admin`,
        mallory: `${gateway.url}/admin?problem=not_allowed`,
      });
      expect(names).toEqual({ grace: ['__Host-valet_session'], mallory: [] });
    } finally {
      await gateway.close();
      await provider.close();
    }
  });
});
