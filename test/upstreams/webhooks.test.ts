// Webhooks: signed as Standard Webhooks says, written with what they tell about, delivered at least once and by one replica only.
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sweepExpiring } from '../../packages/server/src/credentials/oauth/expiry.ts';
import { installationScope, withScope } from '../../packages/server/src/db/scope.ts';
import { sweepDeliveries } from '../../packages/server/src/webhooks/store.ts';
import { openTestDatabase } from '../support/database.ts';
import { type Json, type Rig, type RigOptions, startRig } from '../support/gateway.ts';
import { type RefreshStage, startRefreshStage, until } from './refresh-stage.ts';
import { isSigned, type Receiver, startReceiver } from './webhook-receiver.ts';

let stage: RefreshStage | undefined;
let receiver: Receiver | undefined;
afterEach(async () => {
  await stage?.close();
  await receiver?.close();
  stage = undefined;
  receiver = undefined;
});

async function setUp(options: RigOptions = {}) {
  stage = await startRefreshStage(options);
  receiver = await startReceiver();
  const settings: Json = await stage.rig.manage('PUT', '/api/settings', { webhookUrl: receiver.url });
  return { stage, receiver, secret: settings.webhookSecret as string };
}

/** Empties a connector's needs and fills them again: each credential of it changes its status. */
async function changeStatus({ rig }: RefreshStage, username: string): Promise<string> {
  const made = await rig.manage('POST', '/api/credentials', {
    userId: username,
    connectorId: 'keys',
    authenticationType: 'secrets',
    fields: {},
  });
  await rig.manage('PATCH', `/api/credentials/${made.credentialId}`, {
    fields: { TOKEN: randomBytes(8).toString('hex') },
  });
  return made.credentialId;
}

async function addKeysConnector({ rig, provider }: RefreshStage): Promise<void> {
  const url = provider.upstream.url;
  await rig.manage('POST', '/api/connectors', { connectorId: 'keys', kind: 'mcp-http', url, secretNames: ['TOKEN'] });
  await rig.manage('POST', '/users', { username: 'alice' });
}

describe('a delivery', () => {
  it('is signed with the key that was shown once, and carries ids and statuses only', async () => {
    const { stage, receiver, secret } = await setUp();
    await addKeysConnector(stage);

    const credentialId = await changeStatus(stage, 'alice');

    expect(await until(() => receiver.received.length > 0)).toBe(true);
    const [delivery] = receiver.received;
    if (delivery === undefined) throw new Error('nothing arrived');
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    expect(await isSigned(delivery, secret)).toBe(true);
    expect(await isSigned({ ...delivery, body: delivery.body.replace('valid', 'dead!') }, secret)).toBe(false);
    expect(Math.abs(Date.now() / 1000 - Number(delivery.headers['webhook-timestamp']))).toBeLessThan(30);
    expect(delivery.headers['content-type']).toBe('application/json');
    expect(delivery.event.type).toBe('credential.status_changed');
    const { userId, at, ...data } = delivery.event.data;
    expect(data).toEqual({
      credentialId,
      connectorId: 'keys',
      username: 'alice',
      status: 'valid',
      previousStatus: 'pending',
    });
    expect(userId).toMatch(/^usr_/);
    expect(Math.abs(Date.now() - Date.parse(String(at)))).toBeLessThan(30_000);
  });

  it('that fails is repeated with the same id and body until it is taken', async () => {
    const { stage, receiver, secret } = await setUp();
    await addKeysConnector(stage);
    receiver.answers.push(500);

    await changeStatus(stage, 'alice');

    expect(await until(() => receiver.received.length >= 2, 20_000)).toBe(true);
    const [first, second] = receiver.received;
    if (first === undefined || second === undefined) throw new Error('nothing arrived');
    expect(second.headers['webhook-id']).toBe(first.headers['webhook-id']);
    expect(second.body).toBe(first.body);
    expect(await isSigned(second, secret)).toBe(true);
    const rows = () =>
      stage.rig.sql<{ attempts: number; open: boolean }>(
        stage.accountId,
        'select attempts, next_at is not null as open from webhook_deliveries',
      );
    expect(await until(async () => (await rows())[0]?.open === false)).toBe(true);
    expect(await rows()).toEqual([{ attempts: 2, open: false }]);
  });

  it('is not repeated after 410 Gone', async () => {
    const { stage, receiver } = await setUp();
    await addKeysConnector(stage);
    receiver.answers.push(410);
    await changeStatus(stage, 'alice');
    const rows = () =>
      stage.rig.sql<{ open: boolean; delivered: boolean; last_status: number }>(
        stage.accountId,
        'select next_at is not null as open, delivered_at is not null as delivered, last_status from webhook_deliveries',
      );
    expect(await until(async () => (await rows())[0]?.open === false)).toBe(true);
    expect(await rows()).toEqual([{ open: false, delivered: false, last_status: 410 }]);
  });

  it('comes from one of two gateways on one PostgreSQL only', async () => {
    const database = await openTestDatabase('postgres');
    const env = { VALET_MASTER_KEY: randomBytes(32).toString('base64') };
    const { stage, receiver } = await setUp({ database, env });
    const second = await startRig({ database: { ...database, close: async () => undefined }, env });
    try {
      await addKeysConnector(stage);
      const ids: string[] = [];
      for (let n = 0; n < 30; n++) ids.push(await changeStatus(stage, 'alice'));

      expect(await until(() => receiver.received.length >= ids.length, 20_000)).toBe(true);
      // Longer than the look of either.
      await new Promise((resolve) => setTimeout(resolve, 6_000));
      expect(receiver.received.map(({ event }) => event.data.credentialId).sort()).toEqual([...ids].sort());
    } finally {
      await second.close();
    }
  });

  it('is written for nobody where no webhook is set, and ends with it', async () => {
    const { stage, receiver } = await setUp();
    await addKeysConnector(stage);
    await stage.rig.manage('PUT', '/api/settings', { webhookUrl: null });
    await changeStatus(stage, 'alice');
    expect(await stage.rig.sql(stage.accountId, 'select id from webhook_deliveries')).toEqual([]);
    expect(receiver.received).toEqual([]);
  });
});

describe('a grant that nothing can renew', () => {
  it('is told once as expiring, and once as ended', async () => {
    const { stage, receiver } = await setUp();
    const { rig, accountId } = stage;
    const { credentialId } = await stage.deposit('alice', { expiresIn: 20 * 3600, refreshToken: undefined });
    const { credentialId: renewable } = await stage.deposit('bob', { expiresIn: 60 });
    const { parts } = rig.gateway.gateway;
    const told = (id: string) =>
      receiver.received.filter(({ event }) => event.data.credentialId === id).map(({ event }) => event.data.status);

    await sweepExpiring(parts);
    await sweepExpiring(parts);
    expect(await until(() => told(credentialId).includes('expiring'))).toBe(true);
    const end = 'update credentials set token_expires_at = now() where account_id = $1 and id = $2';
    await rig.sql(accountId, end, [accountId, credentialId]);
    await sweepExpiring(parts);
    await sweepExpiring(parts);

    expect(await until(() => told(credentialId).includes('reauth_required'))).toBe(true);
    expect(told(credentialId).sort()).toEqual(['expiring', 'reauth_required', 'valid']);
    expect(told(renewable)).toEqual(['valid']);
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'reauth_required' });
  });
});

describe('the outbox', () => {
  it('forgets what was delivered after a week, and nothing that is still to be delivered', async () => {
    const { stage } = await setUp();
    const { rig, accountId } = stage;
    const insert = `insert into webhook_deliveries (id, account_id, event, payload, next_at, created_at)
      values ($2, $1, 'x', '{}', now() + $3::interval, now() - $4::interval)`;
    await rig.sql(accountId, insert, [accountId, 'old', null, '8 days']);
    await rig.sql(accountId, insert, [accountId, 'young', null, '6 days']);
    await rig.sql(accountId, insert, [accountId, 'due', '1 day', '8 days']);

    await withScope(rig.gateway.gateway.parts.db, installationScope, (tx) => sweepDeliveries(tx, 7));

    expect(await rig.sql(accountId, 'select id from webhook_deliveries order by id')).toEqual([
      { id: 'due' },
      { id: 'young' },
    ]);
  });

  it('holds no event of a change that was rolled back', async () => {
    const { stage } = await setUp();
    const { credentialId } = await stage.deposit('alice', { expiresIn: 3600 });
    const answer = await stage.rig.send(`/api/credentials/${credentialId}`, {
      method: 'PATCH',
      key: stage.rig.admin,
      body: { fields: { 'oauth.access_token': 'mine' } },
    });
    expect(answer.status).toBeGreaterThanOrEqual(400);
    // That of the deposit.
    const rows = await stage.rig.sql(stage.accountId, `select payload->>'status' as status from webhook_deliveries`);
    expect(rows).toEqual([{ status: 'valid' }]);
  });
});

describe('the settings', () => {
  it('show the key in the reply that made it and never again, and keep it sealed', async () => {
    const { stage, receiver, secret } = await setUp();
    const shown = await stage.rig.manage('GET', '/api/settings');
    expect(shown).toMatchObject({ webhookUrl: receiver.url, redirectUris: [] });
    expect(JSON.stringify(shown)).not.toContain(secret);
    const again = await stage.rig.manage('PUT', '/api/settings', { redirectUris: ['http://localhost:3000/done'] });
    expect(again.webhookSecret).toBeUndefined();
    expect(again).toMatchObject({ webhookUrl: receiver.url, redirectUris: ['http://localhost:3000/done'] });
    const [row] = await stage.rig.sql<{ text: string }>(
      stage.accountId,
      `select encode(webhook_secret, 'escape') || encode(webhook_secret, 'base64') as text from account_settings`,
    );
    expect(row?.text).not.toContain(secret);
    expect(row?.text).not.toContain(secret.slice('whsec_'.length));
    const renewed = await stage.rig.manage('PUT', '/api/settings', { webhookUrl: receiver.url });
    expect(renewed.webhookSecret).toMatch(/^whsec_/);
    expect(renewed.webhookSecret).not.toBe(secret);
  });
});

describe('addresses in the settings', () => {
  let rig: Rig;
  beforeAll(async () => {
    rig = await startRig();
  });
  afterAll(() => rig?.close());

  it.each([
    ['redirectUris', ['https://app.example.com/done#x']],
    ['redirectUris', ['http://app.example.com/done']],
    ['redirectUris', ['https://user:pw@app.example.com/done']],
    ['redirectUris', ['https://@app.example.com/done']],
    ['redirectUris', ['com.example.app:/done']],
    ['redirectUris', ['javascript:alert(1)']],
    ['redirectUris', ['//app.example.com/done']],
    ['redirectUris', ['https:app.example.com/done']],
    ['redirectUris', ['https://app.example.com/\ndone']],
    ['redirectUris', ['https://app.example.com\\@evil.example/done']],
    ['redirectUris', ['http://127.0.0.1.evil.example/done']],
    ['webhookUrl', 'ftp://app.example.com/hook'],
    ['webhookUrl', 'http://user:pw@127.0.0.1/hook'],
    ['webhookUrl', 'http://169.254.169.254/latest/meta-data'],
    ['webhookUrl', 'https://10.0.0.1/hook'],
    ['webhookUrl', 'nonsense'],
  ])('refuse %s %j', async (field, value) => {
    const answer = await rig.send('/api/settings', { method: 'PUT', key: rig.admin, body: { [field]: value } });
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(field);
  });

  it('take https anywhere and http on loopback as they were sent', async () => {
    const redirectUris = [
      'https://app.example.com',
      'http://localhost:1/x',
      'http://127.0.0.1/',
      'http://[::1]:8080/y?z=1',
    ];
    expect(await rig.manage('PUT', '/api/settings', { redirectUris })).toMatchObject({ redirectUris });
  });
});
