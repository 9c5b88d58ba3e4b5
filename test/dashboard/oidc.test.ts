// Sign-in to the dashboard at an OpenID Connect issuer: who is let in, what stands for the person, what ends it, and what every trick comes to.
// Most of it at an issuer that says what the test wants; a real one is asked last.
import { createServer } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { type Json, type Rig, startRig } from '../support/gateway.ts';
import { newKey } from '../support/issuer.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { Browser } from '../upstreams/oauth-browser.ts';
import { startOAuthServer } from '../upstreams/oauth-provider.ts';
import { type SignInIssuer, startSignInIssuer } from './issuer.ts';

const lead = { sub: 'lead', email: 'Lead@example.com', email_verified: true };
const own = { 'x-valet-session': '1', 'sec-fetch-site': 'same-origin' };
let rig: Rig;
let issuer: SignInIssuer;

beforeAll(async () => {
  issuer = await startSignInIssuer();
  rig = await startRig({
    // Where two transactions can be at work at once.
    database: await openTestDatabase('postgres'),
    env: {
      VALET_RATE_LIMIT_STORE: 'memory',
      VALET_ADMIN_OIDC_ISSUER: issuer.issuer,
      VALET_ADMIN_OIDC_CLIENT_ID: issuer.clientId,
      VALET_ADMIN_OIDC_CLIENT_SECRET: issuer.clientSecret,
      VALET_ADMIN_OIDC_ALLOW: 'email:lead@example.com, sub:robot-7, group:gateway-admins',
      // Every person here comes from an address of its own: attempts are counted by address.
      VALET_TRUST_PROXY: '127.0.0.1',
    },
  });
});
afterAll(async () => {
  await rig?.close();
  await issuer?.close();
});
beforeEach(() => Object.assign(issuer, { claims: lead, more: {}, isDown: false }));

interface Hop {
  status: number;
  location: string;
  cookies: string[];
}
let people = 0;
const somewhere = () => ({ 'x-forwarded-for': `198.51.100.${++people}` });

async function hop(url: string, headers: Record<string, string> = {}): Promise<Hop> {
  const answer = await fetch(url, { redirect: 'manual', headers });
  await answer.arrayBuffer();
  return {
    status: answer.status,
    location: answer.headers.get('location') ?? '',
    cookies: answer.headers.getSetCookie(),
  };
}
const bare = (cookie = ''): string => cookie.split(';')[0] ?? '';

/** To the issuer and back to the door: the way back is not opened yet. */
async function begin(): Promise<{ cookie: string; toIssuer: URL; back: string }> {
  const { location, cookies } = await hop(`${rig.url}/admin/oidc`, somewhere());
  return { cookie: bare(cookies[0]), toIssuer: new URL(location), back: (await hop(location)).location };
}
const comeBack = (back: string, cookie: string) => hop(back, { ...somewhere(), ...(cookie !== '' && { cookie }) });

interface Entered {
  location: string;
  /** Undefined: no session was given. */
  session: string | undefined;
}
const entered = ({ location, cookies }: Hop): Entered => ({
  location,
  session: cookies.map(bare).find((one) => one.startsWith('__Host-valet_session=')),
});
async function enter(claims: Record<string, unknown> = lead): Promise<Entered> {
  issuer.claims = claims;
  const { cookie, back } = await begin();
  return entered(await comeBack(back, cookie));
}
const as = (session = '') => ({ cookie: session, ...own });
const status = async (session: string | undefined) => (await rig.send('/users', { headers: as(session) })).status;
const keyOf = async (session: string | undefined): Promise<Json> =>
  (await rig.send('/api/me', { headers: as(session) })).body;
const refused = (problem: string) => ({ location: `/admin?problem=${problem}`, session: undefined });

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
    const { location, session } = await enter();
    expect(location).toBe('/admin');
    const made = await rig.send('/users', { body: { username: 'by-lead' }, headers: as(session) });
    expect(made.status).toBe(201);
    const { keyId } = await keyOf(session);
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
    const begun = await Promise.all(Array.from({ length: 5 }, begin));
    const all = await Promise.all(begun.map(async ({ back, cookie }) => entered(await comeBack(back, cookie))));
    const keyIds = new Set(await Promise.all(all.map(async ({ session }) => (await keyOf(session)).keyId)));
    expect(keyIds.size).toBe(1);
    expect(keyIds).not.toContain((await keyOf((await enter()).session)).keyId);
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
    const { location, session } = await enter(claims);
    expect(location).toBe(expected === '/admin' ? '/admin' : `/admin?problem=${expected}`);
    expect(await status(session)).toBe(expected === '/admin' ? 200 : 401);
  });
});

describe('what does not hold is refused without a session', () => {
  it.each([
    ['an ID token for another client', { aud: 'somebody-else' }],
    ['an ID token of another issuer', { iss: 'https://other.example' }],
    ['an ID token of another sign-in', { nonce: 'of-another-one' }],
    ['an ID token without a nonce', { nonce: undefined }],
    ['an ID token that is over', { iat: 1_700_000_000, exp: 1_700_000_300 }],
  ])('%s', async (_what, claims) => {
    expect(await enter({ ...lead, ...claims })).toEqual(refused('failed'));
  });

  it('an ID token that somebody else signed', async () => {
    const { key } = issuer;
    issuer.key = newKey('ES256');
    expect(await enter()).toEqual(refused('failed'));
    issuer.key = key;
  });

  it('a state of another sign-in, none, and an answer without this browser’s cookie, before anything is sent to the issuer', async () => {
    const [mine, theirs] = await Promise.all([begin(), begin()]);
    const redeemed = issuer.redeemed;
    const changed = new URL(mine.back);
    changed.searchParams.set('state', 'made-up');
    const without = new URL(mine.back);
    without.searchParams.delete('state');
    const error = new URL(`${rig.url}/admin/oidc/callback?error=access_denied&state=made-up`);
    const answers = await Promise.all([
      // Somebody else's answer slipped into this browser: it would manage as that person without knowing.
      comeBack(theirs.back, mine.cookie),
      comeBack(changed.href, mine.cookie),
      comeBack(without.href, mine.cookie),
      comeBack(error.href, mine.cookie),
      comeBack(mine.back, ''),
      comeBack(mine.back, `${mine.cookie}; ${theirs.cookie}`),
    ]);
    expect(answers.map(entered)).toEqual(answers.map(() => refused('stale')));
    expect(issuer.redeemed).toBe(redeemed);
  });

  it('a code for the second time, and the cookie is taken away with the first', async () => {
    const { cookie, back } = await begin();
    const first = await comeBack(back, cookie);
    expect(first.cookies.filter((one) => one.startsWith('__Host-valet_oidc=; Path=/; Max-Age=0;'))).toHaveLength(1);
    expect(entered(first).location).toBe('/admin');
    expect(entered(await comeBack(back, cookie))).toEqual(refused('failed'));
  });

  it('a code of another sign-in under this one’s state: its challenge does not fit', async () => {
    const [mine, theirs] = await Promise.all([begin(), begin()]);
    const mixed = new URL(mine.back);
    mixed.searchParams.set('code', new URL(theirs.back).searchParams.get('code') ?? '');
    expect(entered(await comeBack(mixed.href, mine.cookie))).toEqual(refused('failed'));
  });

  it('a beginning that another site made; and nothing in an address leads anywhere but to the issuer and the page', async () => {
    const forced = await hop(`${rig.url}/admin/oidc`, { ...somewhere(), 'sec-fetch-site': 'cross-site' });
    expect([forced.location, forced.cookies]).toEqual(['/admin', []]);
    const tricks = 'return_to=https://evil.example&redirect_uri=https://evil.example&next=//evil.example';
    const { cookies, location } = await hop(`${rig.url}/admin/oidc?${tricks}`, somewhere());
    expect(new URL(location).searchParams.get('redirect_uri')).toBe(`${rig.url}/admin/oidc/callback`);
    const back = await hop(`${(await hop(location)).location}&${tricks}`, { ...somewhere(), cookie: bare(cookies[0]) });
    expect(back.location).toBe('/admin');
  });

  it('an issuer that does not answer, or a person that said no, is told apart and let be', async () => {
    const { cookie, back, toIssuer } = await begin();
    const no = `${rig.url}/admin/oidc/callback?error=access_denied&state=${toIssuer.searchParams.get('state')}`;
    expect(entered(await comeBack(no, cookie))).toEqual(refused('denied'));
    issuer.isDown = true;
    expect(entered(await comeBack(back, cookie))).toEqual(refused('unavailable'));
  });

  it('more attempts from one address than a person makes', async () => {
    const headers = somewhere();
    let last = await hop(`${rig.url}/admin/oidc`, headers);
    for (let i = 0; i < 25 && last.location.startsWith('http'); i++) last = await hop(`${rig.url}/admin/oidc`, headers);
    expect(entered(last)).toEqual(refused('busy'));
  });

  it('and every refusal is on the trail, with the person where the issuer named one', async () => {
    await enter({ sub: 'mallory', email: 'mallory@example.com', email_verified: true });
    const events = await rig.sql<Json>(
      '_system',
      `select reason, details from audit_events where action = 'auth.sign_in'`,
    );
    expect(events).toContainEqual({
      reason: 'oidc_not_on_the_list',
      details: { issuer: issuer.issuer, subject: 'mallory', email: 'mallory@example.com' },
    });
    const reasons = new Set(events.map(({ reason }) => reason));
    expect([...reasons]).toEqual(
      expect.arrayContaining([
        'oidc_no_cookie',
        'oidc_state',
        'oidc_denied',
        'oidc_rate_limited',
        'oidc_refused_invalid_grant',
      ]),
    );
  });
});

describe('what a person’s sessions stand for', () => {
  it('ends them all when it is revoked, and keeps the person out for as long as it would have lived', async () => {
    const claims = { sub: 'robot-7' };
    const [one, other] = [await enter(claims), await enter(claims)];
    const { keyId, account } = await keyOf(one.session);
    await rig.manage('PATCH', `/api/keys/${keyId}`, { scopes: ['users:read'] });
    await rig.manage('DELETE', `/api/keys/${keyId}`);
    expect([await status(one.session), await status(other.session)]).toEqual([401, 401]);
    expect(await enter(claims)).toEqual(refused('revoked'));
    await rig.sql(account.accountId, `update api_keys set expires_at = now() - interval '1 second' where id = $1`, [
      keyId,
    ]);
    const again = await enter(claims);
    expect((await keyOf(again.session)).keyId).not.toBe(keyId);
    // What had been taken away is not given back by signing in once more.
    const asked = await rig.send('/users', { body: { username: 'robot-made' }, headers: as(again.session) });
    expect([await status(again.session), asked.status]).toEqual([200, 403]);
  });

  it('has no text: nobody can rotate it into one that acts under the person’s name', async () => {
    const { keyId } = await keyOf((await enter()).session);
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
