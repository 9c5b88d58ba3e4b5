// What ends a grant and what does not: a provider in trouble keeps it, its clear word ends it, and nobody gets somebody else's.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { toolJson } from '../support/gateway.ts';
import { callEcho, isGood, type RefreshStage, startRefreshStage, until } from './refresh-stage.ts';
import type { Mood } from './token-provider.ts';
import { type Receiver, startReceiver } from './webhook-receiver.ts';

let stage: RefreshStage;
let receiver: Receiver;
beforeAll(async () => {
  stage = await startRefreshStage();
  receiver = await startReceiver();
  await stage.rig.manage('PUT', '/api/settings', { webhookUrl: receiver.url });
});
afterAll(async () => {
  await stage?.close();
  await receiver?.close();
});
afterEach(() => {
  Object.assign(stage.provider, { mood: 'good', delayMs: 0, expiresIn: 3600 });
});
/** Each test has users of its own. */
let users = 0;
const someone = () => `user${++users}`;
/** Refresh tokens that the provider saw since. */
const sinceNow = () => {
  const before = stage.provider.refreshes.length;
  return () => stage.provider.refreshes.slice(before);
};

/** Statuses that the webhook told of this credential; the first one is that of the deposit. */
const toldOf = (credentialId: string) =>
  receiver.received
    .filter(({ event }) => event.data.credentialId === credentialId)
    .map(({ event }) => event.data.status);

const troubles: Mood[] = ['error-500', 'hang', 'limited', 'nonsense', 'refused-client'];

describe('a provider that cannot renew now', () => {
  it.each(troubles)('(%s) keeps the grant, is told as unreachable, and works again by itself', async (mood) => {
    const { rig, provider } = stage;
    const alice = someone();
    const seen = sinceNow();
    const { key, credentialId, refreshToken, accessToken } = await stage.deposit(alice);
    provider.spoil(accessToken);
    provider.mood = mood;

    const failed = await callEcho(rig, alice, key);

    expect(failed.status).toBe(502);
    expect(failed.body).toMatchObject({ success: false, code: 'upstream_unreachable' });
    const credential = await stage.credential(credentialId);
    expect(credential).toMatchObject({
      status: 'unreachable',
      lastError: expect.stringMatching(/the grant is kept\.$/),
    });
    expect(JSON.stringify(credential)).not.toContain(refreshToken);
    expect(await until(() => toldOf(credentialId).includes('unreachable'))).toBe(true);

    provider.mood = 'good';
    expect(await until(async () => isGood(await callEcho(rig, alice, key)))).toBe(true);
    const healed = await stage.credential(credentialId);
    expect(healed.status).toBe('valid');
    expect(healed.lastError).toBeUndefined();
    expect(await until(() => toldOf(credentialId).length === 3)).toBe(true);
    expect(toldOf(credentialId)).toEqual(['valid', 'unreachable', 'valid']);
    expect(new Set(seen())).toEqual(new Set([refreshToken]));
    expect(provider.reused).toEqual([]);
  });

  it('delays no call for long while the access token still lives', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const seen = sinceNow();
    const { key, credentialId } = await stage.deposit(alice, { expiresIn: 60 });
    await rig.sql(
      stage.accountId,
      `update credentials set token_expires_at = now() + interval '40 seconds', updated_at = now() - interval '1 hour'
        where account_id = $1 and id = $2`,
      [stage.accountId, credentialId],
    );
    await rig.manage('PATCH', `/users/${alice}/enable`, { enabled: true });
    provider.mood = 'hang';
    const started = performance.now();

    expect(isGood(await callEcho(rig, alice, key))).toBe(true);

    expect(performance.now() - started).toBeLessThan(15_000);
    expect(seen()).toHaveLength(1);
  });

  it('is not asked by every call: after a failure the next attempt waits', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const seen = sinceNow();
    const { key } = await stage.deposit(alice);
    provider.mood = 'error-500';

    await Promise.all(Array.from({ length: 50 }, () => callEcho(rig, alice, key)));

    expect(seen().length).toBeLessThanOrEqual(4);
  });
});

describe('a replica that died while it held the lease', () => {
  it('delays others for five seconds at most, and none once its lease is over', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const { key, credentialId, accessToken } = await stage.deposit(alice);
    provider.spoil(accessToken);
    const seen = sinceNow();
    const lease = `update credentials set refresh_lease_until = now() + $3::interval where account_id = $1 and id = $2`;
    await rig.sql(stage.accountId, lease, [stage.accountId, credentialId, '30 seconds']);
    const started = performance.now();

    expect((await callEcho(rig, alice, key)).body.code).toBe('upstream_unreachable');
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(seen()).toEqual([]);
    await rig.sql(stage.accountId, lease, [stage.accountId, credentialId, '-1 second']);
    expect(await until(async () => isGood(await callEcho(rig, alice, key)))).toBe(true);
    expect(seen()).toHaveLength(1);
  });
});

describe('new tokens', () => {
  it('survive a database that cannot store them for a moment', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const { key, accessToken } = await stage.deposit(alice);
    provider.spoil(accessToken);
    const seen = sinceNow();
    provider.delayMs = 500;

    const call = callEcho(rig, alice, key);
    expect(await until(() => provider.pending > 0)).toBe(true);
    await rig.asOwner('revoke insert, update on secrets from valet_app');
    // The answer has come by then, and could not be stored.
    await new Promise((resolve) => setTimeout(resolve, 900));
    await rig.asOwner('grant insert, update on secrets to valet_app');

    const answer = await call;
    expect(isGood(answer), answer.text).toBe(true);
    expect(seen()).toHaveLength(1);
    expect(isGood(await callEcho(rig, alice, key))).toBe(true);
    expect(provider.reused).toEqual([]);
  });
});

describe('invalid_grant', () => {
  it('ends the grant, is told once, and is not asked about again', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const seen = sinceNow();
    const { key, credentialId } = await stage.deposit(alice);
    provider.mood = 'invalid-grant';

    const answers = await Promise.all(Array.from({ length: 10 }, () => callEcho(rig, alice, key)));
    answers.push(await callEcho(rig, alice, key));

    expect(answers.map(({ body }) => body.code)).toEqual(answers.map(() => 'credentials_required'));
    expect(seen()).toHaveLength(1);
    expect(await stage.credential(credentialId)).toMatchObject({
      status: 'reauth_required',
      lastError: 'The sign-in provider ended this grant; sign in again.',
    });
    expect(await until(() => toldOf(credentialId).length > 1)).toBe(true);
    expect(toldOf(credentialId)).toEqual(['valid', 'reauth_required']);
  });

  it('does not end a grant that a new sign-in replaced while the old one was asked about', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const seen = sinceNow();
    const { key, credentialId } = await stage.deposit(alice);
    provider.mood = 'invalid-grant';
    provider.delayMs = 800;

    const call = callEcho(rig, alice, key);
    expect(await until(() => provider.pending > 0)).toBe(true);
    const { accessToken, refreshToken } = provider.grant(`subject-of-${alice}`);
    const tokens = { accessToken, refreshToken, expiresIn: 3600 };
    await rig.manage('PATCH', `/api/credentials/${credentialId}`, { tokens });

    expect(isGood(await call)).toBe(true);
    expect(seen()).toHaveLength(1);
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'valid' });
  });
});

describe('tokens of another subject', () => {
  it('are not used: the grant has ended', async () => {
    const { rig, provider } = stage;
    const alice = someone();
    const { key, credentialId } = await stage.deposit(alice);
    provider.expiresIn = 0;
    // The first renewal says whose it is.
    expect(isGood(await callEcho(rig, alice, key))).toBe(true);
    provider.mood = 'stranger';
    const before = provider.upstream.recorded.length;

    const answer = await callEcho(rig, alice, key);

    expect(answer.body.code).toBe('credentials_required');
    expect(provider.upstream.recorded.slice(before)).toEqual([]);
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'reauth_required' });
  });
});

describe('a grant without a refresh token', () => {
  it('is shown as expiring within its last day and as reauth_required after it', async () => {
    const { rig } = stage;
    const alice = someone();
    const seen = sinceNow();
    const { key, credentialId } = await stage.deposit(alice, { expiresIn: 23 * 3600, refreshToken: undefined });
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'expiring' });
    const { serverId } = await rig.manage('POST', '/api/servers', { name: 'meta' });
    const params = { name: 'get_credentials_alloy', arguments: {} };
    const tool = toolJson(await rig.rpc(`/mcp/${serverId}`, { method: 'tools/call', params }, { key }));
    expect(tool.credentials).toMatchObject([{ credentialId, status: 'expiring' }]);
    expect(isGood(await callEcho(rig, alice, key))).toBe(true);
    const bob = await stage.deposit(someone(), { expiresIn: 25 * 3600, refreshToken: undefined });
    expect(await stage.credential(bob.credentialId)).toMatchObject({ status: 'valid' });

    const over = await stage.deposit('carol', { expiresIn: 0, refreshToken: undefined });
    expect((await callEcho(rig, 'carol', over.key)).body.code).toBe('credentials_required');
    expect(await stage.credential(over.credentialId)).toMatchObject({ status: 'reauth_required' });
    expect(await until(() => toldOf(over.credentialId).includes('reauth_required'))).toBe(true);
    expect(seen()).toEqual([]);
  });
});
