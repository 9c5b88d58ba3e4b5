// The dashboard in a real browser, as a team lead uses it: from the first login to the first call, rules that bite, and the end of access.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { isInstalled } from '../support/packages.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';
import { desktop, findings, isLong, overflow, phone, shoot, startBrowser, type Visitor, visit } from './browser.ts';
import { type SignInIssuer, startSignInIssuer } from './issuer.ts';

describe.runIf(isInstalled('chromium'))('the dashboard in a browser', () => {
  let rig: Rig;
  let upstream: RecordingUpstream;
  let browser: Browser;
  let lead: Visitor;
  let page: Page;
  let issuer: SignInIssuer;
  let aliceKey = '';

  beforeAll(async () => {
    // Another site than the gateway's, as issuers are.
    issuer = await startSignInIssuer('localhost');
    const env = {
      VALET_ADMIN_OIDC_ISSUER: issuer.issuer,
      VALET_ADMIN_OIDC_CLIENT_ID: issuer.clientId,
      VALET_ADMIN_OIDC_CLIENT_SECRET: issuer.clientSecret,
      VALET_ADMIN_OIDC_ALLOW: 'email:lead@example.com',
    };
    [rig, upstream, browser] = await Promise.all([startRig({ env }), startRecordingUpstream(), startBrowser()]);
    lead = await visit(browser, rig.url);
    page = lead.page;
  });
  afterAll(async () => {
    await browser?.close();
    await rig?.close();
    await upstream?.close();
    await issuer?.close();
  });

  // An empty page offers its first step twice: above, and where the list would be.
  const press = (name: string) => page.getByRole('button', { name, exact: true }).first().click();
  const inDialog = () => page.getByRole('dialog');
  const open = (name: string) => page.getByRole('navigation').getByRole('link', { name }).click();
  /** A page may wait for several things at once. */
  const isLoaded = () => expect.poll(() => page.locator('.loading').count(), { timeout: 15_000 }).toBe(0);
  const heading = (name: string) => page.getByRole('heading', { level: 1, name }).waitFor();

  it('lets nobody in with a wrong key, and says so', async () => {
    await page.goto('/admin');
    await page.getByLabel('API key').fill('mcpv_adm_wrong');
    await press('Sign in');
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').textContent()).toContain('not valid');
    expect(await findings(page)).toEqual([]);
    await shoot(page, 'login-light');
    // The browser tells of every 401 by itself.
    lead.complaints.length = 0;
  });

  it('leads from the first login to the first call as a user', async () => {
    await page.getByLabel('API key').fill(rig.admin);
    await press('Sign in');
    await heading('Overview');
    await page.getByText('From here to the first call').waitFor();
    await shoot(page, 'overview-empty-light');

    await open('Connectors');
    await press('Register connector');
    await inDialog().getByLabel('Id', { exact: true }).fill('notes');
    await inDialog().getByLabel('Name (optional)').fill('Notes');
    await inDialog().getByLabel('Address').fill(upstream.url);
    await shoot(page, 'connector-new-light');
    await inDialog().getByRole('button', { name: 'Register' }).click();
    await heading('Notes');

    await open('Users');
    await press('Create user');
    await inDialog().getByLabel('Username').fill('alice');
    await inDialog().getByRole('button', { name: 'Create user' }).click();
    await heading('alice');

    await open('Connectors');
    await page.getByRole('link', { name: 'Notes' }).click();
    await page.getByLabel('As user').selectOption('alice');
    await page.getByLabel('Action', { exact: true }).selectOption('add');
    await page.getByLabel('Arguments (JSON)').fill('{ "a": 19, "b": 23 }');
    await press('Call');
    await page.getByText('Succeeded').waitFor();
    expect(await page.locator('[data-answer]').textContent()).toContain('42');
    await shoot(page, 'try-call-light');
    const { calls } = await rig.manage('GET', '/api/calls?userId=alice');
    expect(calls.map((call: { tool: string; outcome: string }) => [call.tool, call.outcome])).toEqual([['add', 'ok']]);
  });

  it('shows a key once, and the key works', async () => {
    await open('Users');
    await page.getByRole('link', { name: 'alice' }).click();
    await heading('alice');
    await press('Create key');
    await inDialog().getByLabel('Name', { exact: true }).fill('laptop');
    await inDialog().getByRole('button', { name: 'Create key' }).click();
    const shown = page.locator('[data-secret]');
    aliceKey = (await shown.textContent()) ?? '';
    expect(aliceKey).toMatch(/^mcpv_std_\w{49}$/);
    await shoot(page, 'key-once-light');
    await press('I have copied it');
    await page.getByRole('row', { name: /laptop/ }).waitFor();
    expect(await page.content()).not.toContain(aliceKey);
    await page.reload();
    await page.getByRole('row', { name: /laptop/ }).waitFor();
    expect(await page.content()).not.toContain(aliceKey);
    expect((await rig.send('/api/me', { key: aliceKey })).status).toBe(200);
  });

  it('shows what a server’s rules come to, and the rules bite as it said', async () => {
    await open('Servers');
    await press('Create server');
    await inDialog().getByLabel('Name', { exact: true }).fill('Team tools');
    await inDialog().getByRole('button', { name: 'Create server' }).click();
    await page.locator('[data-secret]').waitFor();
    await shoot(page, 'server-created-light');
    await press('I have copied it');
    await heading('Team tools');
    await page.getByRole('tab', { name: 'Who can call what' }).click();
    const cell = (text: string) => page.getByRole('button', { name: text, exact: true });
    await cell('alice, add: allowed').waitFor();
    await page.getByText('As it is in force').waitFor();
    await page.getByLabel('Actions', { exact: true }).selectOption('blocklist');
    await page.getByLabel('Actions, one per line').fill('notes.add');
    // The draft is asked about while it is typed, and is in force for nobody.
    await page.getByText('not saved yet').waitFor();
    await cell('alice, add: would be blocked, now allowed').waitFor();
    await cell('alice, echo: allowed').waitFor();
    await page.getByText('would block 2 of the').waitFor();
    await page.getByText('All 2 compared').click();
    await page.getByRole('checkbox', { name: 'default' }).uncheck();
    await page.getByText('would block 1 of the').waitFor();
    await page.getByRole('columnheader', { name: 'default' }).waitFor({ state: 'detached' });
    await page.getByRole('checkbox', { name: 'default' }).check();
    await page.getByText('All 2 compared').click();
    const serverId = page.url().split('/').pop() ?? '';
    const saved = async () => (await rig.manage('GET', `/api/servers/${serverId}`)).restrictions;
    expect(await saved()).toBeNull();
    await cell('alice, add: would be blocked, now allowed').click();
    await page.getByText('alice calling add: Action add is not allowed').waitFor();
    await page.getByText('By the rules in force: would run').waitFor();
    expect(await findings(page)).toEqual([]);
    await shoot(page, 'draft-light');
    await page.emulateMedia({ colorScheme: 'dark' });
    await shoot(page, 'draft-dark');
    expect(await findings(page, ['color-contrast'])).toEqual([]);
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize(phone);
    expect(await overflow(page)).toBe(0);
    await shoot(page, 'draft-phone');
    await page.setViewportSize(desktop);
    await press('Discard changes');
    await page.getByText('As it is in force').waitFor();
    await cell('alice, add: allowed').waitFor();
    // A line that cannot be read is told, and nothing is asked for it.
    await page.getByLabel('Rules for single actions').fill('permit notes');
    await page.getByText('This rule cannot be read: permit notes').waitFor();
    await page.getByLabel('Rules for single actions').fill('allow notes: add, whoami');
    await cell('alice, echo: would be blocked, now allowed').waitFor();
    await page.getByLabel('Rules for single actions').fill('');
    await page.getByLabel('Actions', { exact: true }).selectOption('blocklist');
    await page.getByLabel('Actions, one per line').fill('notes.add');
    await press('Save and check');
    await page.getByText('As it is in force').waitFor();
    await cell('alice, add: refused').click();
    await page.getByText('alice calling add').waitFor();
    await cell('alice, echo: allowed').waitFor();
    await shoot(page, 'restrictions-light');
    const rules = { actions: { mode: 'blocklist', blockedActions: ['notes.add'] } };
    expect(await saved()).toEqual(rules);
    // A rule may have both lists: what the mode is not about is kept.
    const both = { mode: 'allowlist', allowedActions: ['echo'], blockedActions: ['notes.slow'] };
    const put = (restrictions: object) => rig.manage('PUT', `/api/servers/${serverId}`, { restrictions });
    await put({ actions: both });
    await page.reload();
    await page.getByRole('tab', { name: 'Who can call what' }).click();
    await page.getByLabel('Actions, one per line').fill('echo\nslow');
    await press('Save and check');
    await expect.poll(saved).toEqual({ actions: { ...both, allowedActions: ['echo', 'slow'] } });
    await cell('alice, slow: refused').waitFor();
    await put(rules);
    const call = async (name: string) => {
      const sdk = rig.sdk(aliceKey, { server: serverId, maxRetries: 0 });
      const tried = await sdk
        .self()
        .runAction('notes', name, name === 'add' ? { a: 1, b: 2 } : { text: 'x' })
        .safe();
      return tried.ok ? 'ran' : tried.error.code;
    };
    expect([await call('add'), await call('echo')]).toEqual(['FORBIDDEN', 'ran']);
  });

  it('puts users into a group, whose rules bind them at once', async () => {
    await open('Groups');
    await press('Create group');
    await inDialog().getByLabel('Name', { exact: true }).fill('Readers');
    await inDialog().getByRole('button', { name: 'Create group' }).click();
    await heading('Readers');
    await press('Add user');
    await inDialog().getByLabel('Username').fill('alice');
    await inDialog().getByRole('button', { name: 'Add user' }).click();
    await page.getByRole('row', { name: /alice/ }).waitFor();
    await page.getByRole('tab', { name: 'Access' }).click();
    await page.getByLabel('Rules for single actions').fill('block notes: add');
    await press('Save access');
    await page.getByText('Saved. It is in force now.').waitFor();
    await shoot(page, 'group-access-light');
    const said = await rig.manage('POST', '/api/explain', { userId: 'alice', connectorId: 'notes', action: 'add' });
    expect([said.code, said.decidedBy.layer]).toEqual(['FORBIDDEN', 'group']);
    await page.getByRole('tab', { name: 'Members' }).click();
    await press('Remove');
    await press('Remove user');
    await page.getByText('No members yet').waitFor();
  });

  it('rotates a key with an overlap, and imports a newer document of an API', async () => {
    await page.goto('/admin/users/alice');
    await page
      .getByRole('row', { name: /laptop/ })
      .getByRole('button', { name: 'Rotate' })
      .click();
    await inDialog().getByLabel('The old key works for').selectOption('3600');
    await press('Rotate key');
    const fresh = (await page.locator('[data-secret]').textContent()) ?? '';
    await press('I have copied it');
    for (const key of [aliceKey, fresh]) expect((await rig.send('/api/me', { key })).status).toBe(200);
    expect(fresh).not.toBe(aliceKey);
    const document = (...names: string[]) => ({
      openapi: '3.0.3',
      info: { title: 'Shop', version: String(names.length) },
      paths: Object.fromEntries(
        names.map((name) => [`/${name}`, { get: { operationId: name, responses: { 200: { description: 'ok' } } } }]),
      ),
    });
    const baseUrl = 'http://127.0.0.1:9/';
    const shop = { connectorId: 'shop', kind: 'http', baseUrl, openapi: document('items') };
    await rig.manage('POST', '/api/connectors', shop);
    await page.goto('/admin/connectors/shop');
    await page.getByText('Shop 1, 1 operations').waitFor();
    await press('Import again');
    await inDialog()
      .getByLabel('Document (JSON or YAML)')
      .fill(JSON.stringify(document('items', 'orders')));
    await press('Import');
    await page.getByText('Shop 2, 2 operations').waitFor();
    expect((await rig.manage('GET', '/api/connectors/shop')).baseUrl).toBe(baseUrl);
    await rig.manage('DELETE', '/api/connectors/shop');
  });

  it('has no serious accessibility finding on any page, in light and dark, and fits a phone', async () => {
    const pages = [
      '',
      '/users',
      '/users/alice',
      '/groups',
      '/servers',
      '/connectors',
      '/connectors/notes',
      '/credentials',
      '/audit',
      '/settings',
    ];
    const { servers } = await rig.manage('GET', '/api/servers');
    const { groups } = await rig.manage('GET', '/api/groups');
    const all = [...pages, `/groups/${groups[0].groupId}`, `/servers/${servers[0].serverId}`];
    const found: string[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      // The themes differ in colours only: the short form looks at one page in the dark, the one with charts.
      for (const path of colorScheme === 'dark' && !isLong ? all.slice(0, 1) : all) {
        await page.goto(`/admin${path}`);
        await page.locator('h1').waitFor();
        await isLoaded();
        const name = path.slice(1).replace(/\/.*/, '-one') || 'overview';
        await shoot(page, `${name}-${colorScheme}`);
        // The second theme has other colours and nothing else.
        const look = async () => {
          await isLoaded();
          const seen = await findings(page, colorScheme === 'dark' ? ['color-contrast'] : undefined);
          found.push(...seen.map((finding) => `${colorScheme} ${path}: ${finding}`));
        };
        const tabs = await page.locator('.page > .stack > [role=tablist]').getByRole('tab').all();
        if (tabs.length === 0) await look();
        for (const tab of isLong ? tabs.reverse() : tabs.slice(-1)) {
          await tab.click();
          await look();
        }
        if (colorScheme === 'dark') continue;
        await page.setViewportSize(phone);
        const tooWide = await overflow(page);
        if (tooWide > 0) found.push(`${path} is ${tooWide} pixels wider than a phone`);
        await shoot(page, `${name}-phone`);
        await page.setViewportSize(desktop);
      }
    }
    expect(found).toEqual([]);
  }, 180_000);

  it('can be used with the keyboard alone', async () => {
    await page.goto('/admin/users');
    await heading('Users');
    await page.keyboard.press('Shift+Tab');
    await page.locator('body').focus();
    await page.getByRole('link', { name: 'Skip to the content' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Create user' }).first().focus();
    await page.keyboard.press('Enter');
    await inDialog().waitFor();
    await page.keyboard.press('Escape');
    await inDialog().waitFor({ state: 'detached' });
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Create user');
  });

  it('ends a user’s access only after the name was typed', async () => {
    await page.goto('/admin/users/alice');
    await press('Off-board');
    await inDialog().getByLabel('Type alice to confirm').fill('bob');
    await press('Off-board user');
    await inDialog().getByRole('alert').waitFor();
    expect((await rig.send('/api/me', { key: aliceKey })).status).toBe(200);
    await inDialog().getByLabel('Type alice to confirm').fill('alice');
    await press('Off-board user');
    await page.getByText('Disabled', { exact: true }).waitFor();
    expect((await rig.send('/api/me', { key: aliceKey })).status).toBe(401);
  });

  it('signs a person in at an issuer on another site, and says why it did not', async () => {
    const { page: theirs, context, complaints } = await visit(browser, rig.url);
    const there = { name: `Sign in with ${new URL(issuer.issuer).host}` };
    issuer.claims = { email: 'stranger@example.com', email_verified: true };
    await theirs.goto('/admin');
    await theirs.getByRole('link', there).click();
    await theirs.getByRole('alert').waitFor();
    expect(await theirs.getByRole('alert').textContent()).toContain('not on the list');
    expect(await findings(theirs)).toEqual([]);
    await shoot(theirs, 'login-issuer-light');
    issuer.claims = { email: 'lead@example.com', email_verified: true };
    await theirs.getByRole('link', there).click();
    await theirs.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
    expect((await context.cookies(rig.url)).map(({ name }) => name)).toEqual(['__Host-valet_session']);
    expect(complaints).toEqual([]);
    await context.close();
  });

  it('breaks no rule of its own policy, and leaves nothing behind at sign-out', async () => {
    expect(lead.complaints).toEqual([]);
    const [cookie] = await lead.context.cookies();
    expect(cookie).toMatchObject({ name: '__Host-valet_session', httpOnly: true, secure: true, sameSite: 'Strict' });
    await press('Sign out');
    await page.getByLabel('API key').waitFor();
    expect(await lead.context.cookies()).toEqual([]);
    const asked = await rig.send('/users', {
      headers: {
        cookie: `${cookie?.name}=${cookie?.value}`,
        'x-valet-session': '1',
        'sec-fetch-site': 'same-origin',
      },
    });
    expect(asked.status).toBe(401);
  });
});
