// The dashboard's session from outside: what the cookie is, where it is believed and what ends it, and how the page is served.
import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { scopedQuery } from '../../packages/server/src/db/scope.ts';
import { type Answer, type Rig, startRig } from '../support/gateway.ts';

let rig: Rig;
/** As the page sends it: same origin, with the header that no form can send. */
let own: Record<string, string>;

beforeAll(async () => {
  rig = await startRig({ env: { VALET_RATE_LIMIT: '1000' } });
  own = { 'x-valet-session': '1', 'sec-fetch-site': 'same-origin', origin: rig.url };
});
afterAll(() => rig?.close());

const cookieOf = (answer: Answer): string => answer.headers.get('set-cookie')?.split(';')[0] ?? '';
const signIn = (apiKey: string, headers: Record<string, string> = own): Promise<Answer> =>
  rig.send('/admin/session', { body: { apiKey }, headers });
const withCookie = (cookie: string, more: Record<string, string> = own) => ({ cookie, ...more });
const users = (headers: Record<string, string>) => rig.send('/users', { headers });
const newKey = async (name: string): Promise<{ key_id: string; api_key: string }> => {
  await rig.manage('POST', '/users', { username: name });
  return rig.manage('POST', `/users/${name}/keys`, { key_name: name, kind: 'enterprise' });
};

describe('signing in', () => {
  it('sets a cookie that scripts cannot read, that stays on this host and goes over https or loopback only', async () => {
    const answer = await signIn(rig.admin);
    expect(answer.status).toBe(201);
    expect(answer.headers.get('set-cookie')).toMatch(
      /^__Host-valet_session=[\w-]{43}; Path=\/; Max-Age=28800; HttpOnly; Secure; SameSite=Strict$/,
    );
    expect(answer.text).not.toContain(cookieOf(answer).split('=')[1]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const left = Date.parse(answer.body.session.expiresAt) - Date.now();
    expect(left).toBeGreaterThan(7.9 * 3_600_000);
    expect(left).toBeLessThan(8.1 * 3_600_000);
  });

  it('is refused to a wrong key, to a key that manages nothing, and to a page of somebody else, without a cookie', async () => {
    await rig.manage('POST', '/users', { username: 'plain' });
    const { api_key } = await rig.manage('POST', '/users/plain/keys', { key_name: 'own' });
    const refused = await Promise.all([
      signIn('mcpv_adm_wrong'),
      signIn(api_key),
      signIn(rig.admin, { ...own, origin: 'https://elsewhere.example' }),
      signIn(rig.admin, { ...own, origin: 'http://localhost:1' }),
      signIn(rig.admin, { ...own, 'sec-fetch-site': 'cross-site' }),
      signIn(rig.admin, { origin: rig.url, 'sec-fetch-site': 'same-origin' }),
      signIn(rig.admin, { 'x-valet-session': '1' }),
    ]);
    expect(refused.map(({ status }) => status)).toEqual([401, 403, 403, 403, 403, 403, 403]);
    expect(refused.map(cookieOf)).toEqual(refused.map(() => ''));
  });

  it('is on the trail, refused ones too', async () => {
    const { api_key, key_id } = await newKey('trailed');
    await signIn(api_key);
    await rig.manage('DELETE', `/api/keys/${key_id}`);
    await signIn(api_key);
    const { events } = await rig.manage('GET', `/api/audit?actorKeyId=${key_id}`);
    expect(events.map((event: { action: string; outcome: string }) => `${event.action} ${event.outcome}`)).toEqual([
      'auth.sign_in refused',
      'session.create ok',
    ]);
  });
});

describe('the cookie', () => {
  let cookie: string;
  beforeAll(async () => {
    cookie = cookieOf(await signIn(rig.admin));
  });

  it('manages what its key manages, and the trail names both', async () => {
    const made = await rig.send('/users', { body: { username: 'by-page' }, headers: withCookie(cookie) });
    expect(made.status).toBe(201);
    const { events } = await rig.manage('GET', '/api/audit?action=user.create&target=by-page');
    const me = await rig.manage('GET', '/api/me');
    expect(events[0].actor.keyId).toBe(me.keyId);
    expect(events[0].details.session).toMatch(/^ses_/);
  });

  it('is refused without the header, from another origin, from a neighbour, and without a word where it comes from', async () => {
    const answers = await Promise.all([
      users(withCookie(cookie, { origin: rig.url, 'sec-fetch-site': 'same-origin' })),
      users(withCookie(cookie, { ...own, origin: 'https://elsewhere.example' })),
      users(withCookie(cookie, { ...own, origin: rig.url.replace(/:\d+$/, ':1') })),
      users(withCookie(cookie, { 'x-valet-session': '1', 'sec-fetch-site': 'same-site' })),
      users(withCookie(cookie, { 'x-valet-session': '1' })),
      users(withCookie(cookie)),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403, 200]);
    // Nor can another page ask who is signed in here, or sign this browser out.
    for (const method of ['GET', 'DELETE'])
      for (const from of [
        { 'sec-fetch-site': 'same-origin' },
        { 'x-valet-session': '1', 'sec-fetch-site': 'same-site' },
      ]) {
        const answer = await rig.send('/admin/session', { method, headers: withCookie(cookie, from) });
        expect([method, answer.status, answer.headers.get('set-cookie')]).toEqual([method, 403, null]);
      }
    expect((await users(withCookie(cookie))).status).toBe(200);
  });

  it('is nothing where tools are called, and beside no key', async () => {
    const tool = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    const headers = { ...withCookie(cookie), accept: 'application/json, text/event-stream' };
    const { serverId } = await rig.manage('POST', '/api/servers', { name: 'no-cookie' });
    const answers = await Promise.all([
      rig.send('/mcp', { body: tool, headers }),
      rig.send(`/mcp/${serverId}`, { body: tool, headers }),
      rig.send('/mcp/tool/call', { body: { serverName: 'x', methodName: 'y' }, headers }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401]);
  });

  it('is refused when it is made up, doubled or cut', async () => {
    const [name, value = ''] = cookie.split('=');
    const made = `${name}=${'A'.repeat(43)}`;
    const answers = await Promise.all(
      [made, `${cookie}; ${made}`, `${name}=${value.slice(0, -1)}`, `valet_session=${value}`].map((text) =>
        users(withCookie(text)),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401]);
  });
});

describe('a session ends', () => {
  it('at sign-out, at once', async () => {
    const cookie = cookieOf(await signIn(rig.admin));
    expect((await users(withCookie(cookie))).status).toBe(200);
    const out = await rig.send('/admin/session', { method: 'DELETE', headers: withCookie(cookie) });
    expect(out.headers.get('set-cookie')).toMatch(/^__Host-valet_session=; Path=\/; Max-Age=0; /);
    expect((await users(withCookie(cookie))).status).toBe(401);
    const asked = await rig.send('/admin/session', { headers: withCookie(cookie) });
    expect([asked.status, asked.body]).toEqual([200, { session: null }]);
  });

  it('with its key, its key’s user, and its time', async () => {
    const revoked = await newKey('revoked');
    const disabled = await newKey('disabled');
    const timed = await newKey('timed');
    const cookies = await Promise.all(
      [revoked, disabled, timed].map(async ({ api_key }) => cookieOf(await signIn(api_key))),
    );
    const statuses = () => Promise.all(cookies.map(async (cookie) => (await users(withCookie(cookie))).status));
    expect(await statuses()).toEqual([200, 200, 200]);
    await rig.manage('DELETE', `/api/keys/${revoked.key_id}`);
    await rig.manage('PATCH', '/users/disabled/enable', { enabled: false });
    await rig.asOwner(
      `update dashboard_sessions set expires_at = now() - interval '1 second' where key_id = '${timed.key_id}'`,
    );
    // Nobody tells what time ends: the cache of five seconds does not know yet.
    await expect.poll(statuses, { timeout: 8_000 }).toEqual([401, 403, 401]);
  });

  it('and leaves nothing of its text in the database, nor a row that another account or a single user can see', async () => {
    const value = cookieOf(await signIn(rig.admin)).split('=')[1] as string;
    const { account } = await rig.manage('GET', '/api/me');
    const other = await rig.manage('POST', '/api/accounts', { name: 'other' });
    const rowsOf = (id: string, user: string) =>
      scopedQuery<{ row: string }>(
        rig.gateway.gateway.parts.db,
        { account: id, user },
        'select d::text as row from dashboard_sessions d',
      );
    const kept = await rowsOf(account.accountId, '*');
    expect(kept.length).toBeGreaterThan(0);
    expect(kept.filter(({ row }) => row.includes(value) || row.includes(Buffer.from(value).toString('hex')))).toEqual(
      [],
    );
    expect(await rowsOf(other.accountId, '*')).toEqual([]);
    expect(await rowsOf(account.accountId, 'usr_some')).toEqual([]);
  });
});

describe('the page', () => {
  it('is served with a policy that allows no inline script or style, no frame and nothing from elsewhere', async () => {
    const page = await rig.send('/admin');
    expect(page.status).toBe(200);
    expect(page.headers.get('content-security-policy')?.split('; ')).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      "connect-src 'self'",
      "form-action 'none'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
      "trusted-types 'none'",
    ]);
    for (const [name, value] of [
      ['x-frame-options', 'DENY'],
      ['x-content-type-options', 'nosniff'],
      ['referrer-policy', 'no-referrer'],
      ['cross-origin-opener-policy', 'same-origin'],
      ['permissions-policy', 'camera=(), microphone=(), geolocation=()'],
    ] as const)
      expect(page.headers.get(name), name).toBe(value);
    expect(page.text).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
    expect(page.text).not.toMatch(/(src|href)="(https?:)?\/\//);
  });

  it('has assets that browsers may keep for ever, is itself asked for each time, and is the same at every address inside', async () => {
    const page = await rig.send('/admin');
    const [asset] = page.text.match(/\/admin\/assets\/[\w.-]+\.js/) ?? [];
    const script = await rig.send(asset as string);
    expect(script.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
    expect(script.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    expect(page.headers.get('cache-control')).toBe('no-cache');
    expect((await rig.send('/admin/users/somebody')).text).toBe(page.text);
    const again = await rig.send('/admin', { headers: { 'if-none-match': page.headers.get('etag') as string } });
    expect([again.status, again.text]).toEqual([304, '']);
    expect((await rig.send('/admin/assets/missing.js')).status).toBe(404);
    expect((await rig.send('/admin/../package.json')).status).toBe(404);
    expect(existsSync('packages/server/dist/dashboard/index.html')).toBe(true);
  });
});

describe('too many attempts from one address', () => {
  it('are refused with the time to wait', async () => {
    let last = await signIn('mcpv_adm_wrong');
    for (let i = 0; i < 25 && last.status !== 429; i++) last = await signIn('mcpv_adm_wrong');
    expect(last.status).toBe(429);
    expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0);
  });
});
