// A refresh token is used once, however many calls and replicas want a new access token at the same moment.
import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { openTestDatabase } from '../support/database.ts';
import { startRig } from '../support/gateway.ts';
import { callEcho, isGood, type RefreshStage, startRefreshStage } from './refresh-stage.ts';

let stage: RefreshStage | undefined;
afterEach(async () => {
  await stage?.close();
  stage = undefined;
});

describe('100 parallel calls with an expired access token', () => {
  it('make one refresh, and all of them succeed', async () => {
    stage = await startRefreshStage();
    const { rig, provider } = stage;
    const { key, credentialId, refreshToken } = await stage.deposit('alice');
    provider.delayMs = 50;

    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => callEcho(rig, 'alice', key, `t${n}`)));

    expect(answers.filter((answer) => !isGood(answer)).map((answer) => answer.text)).toEqual([]);
    expect(provider.refreshes).toEqual([refreshToken]);
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'valid' });
  });

  it('make one refresh per user and never mix tokens', async () => {
    stage = await startRefreshStage();
    const { rig, provider } = stage;
    const users = await Promise.all(['u0', 'u1', 'u2', 'u3', 'u4'].map(async (name) => stage?.deposit(name)));

    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) => callEcho(rig, `u${n % 5}`, users[n % 5]?.key ?? '')),
    );

    expect(answers.every(isGood)).toBe(true);
    expect([...provider.refreshes].sort()).toEqual(users.map((user) => user?.refreshToken).sort());
  });

  it('make one refresh on two gateways that share a PostgreSQL', async () => {
    const database = await openTestDatabase('postgres');
    const master = { VALET_MASTER_KEY: randomBytes(32).toString('base64') };
    stage = await startRefreshStage({ database, env: master });
    const { rig, provider } = stage;
    const env = { ...master, VALET_RATE_LIMIT: '100000', VALET_CONCURRENT_CALLS: '200' };
    const second = await startRig({ database: { ...database, close: async () => undefined }, env });
    try {
      provider.delayMs = 300;
      for (let round = 1; round <= 3; round++) {
        const { key, refreshToken } = await stage.deposit(`user${round}`);
        const answers = await Promise.all(
          Array.from({ length: 100 }, (_, n) => callEcho(n % 2 === 0 ? rig : second, `user${round}`, key)),
        );
        expect(answers.filter((answer) => !isGood(answer)).map((answer) => answer.text)).toEqual([]);
        expect(provider.refreshes).toHaveLength(round);
        expect(provider.refreshes.at(-1)).toBe(refreshToken);
      }
      expect(provider.reused).toEqual([]);
    } finally {
      await second.close();
    }
  });
});

describe('an access token that the upstream refuses before its time', () => {
  it('is renewed once for all calls that met the refusal, and each call is sent once more', async () => {
    stage = await startRefreshStage();
    const { rig, provider } = stage;
    const { key, accessToken, refreshToken } = await stage.deposit('alice', { expiresIn: 3600 });
    expect(isGood(await callEcho(rig, 'alice', key))).toBe(true);
    expect(provider.refreshes).toEqual([]);
    provider.spoil(accessToken);
    provider.delayMs = 100;

    const answers = await Promise.all(Array.from({ length: 20 }, () => callEcho(rig, 'alice', key)));

    expect(answers.filter((answer) => !isGood(answer)).map((answer) => answer.text)).toEqual([]);
    expect(provider.refreshes).toEqual([refreshToken]);
  });

  it('does not make a loop of refreshes where the upstream refuses every token', async () => {
    stage = await startRefreshStage();
    const { rig, provider } = stage;
    const { key, accessToken } = await stage.deposit('alice', { expiresIn: 3600 });
    const recorded = () => provider.upstream.recorded;
    provider.spoil(accessToken);
    await callEcho(rig, 'alice', key);
    for (const { headers } of recorded()) provider.spoil(String(headers.authorization).replace('Bearer ', ''));

    const answers = [];
    for (let n = 0; n < 5; n++) answers.push(await callEcho(rig, 'alice', key));

    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 409));
    expect(provider.refreshes.length).toBe(1);
  });
});

describe('a token near its end', () => {
  it('is renewed ahead of it, again and again, each refresh token used once', async () => {
    stage = await startRefreshStage();
    const { rig, provider } = stage;
    const { key } = await stage.deposit('alice', { expiresIn: 0 });
    provider.expiresIn = 0;

    for (let n = 0; n < 5; n++) expect(isGood(await callEcho(rig, 'alice', key))).toBe(true);

    expect(new Set(provider.refreshes).size).toBe(provider.refreshes.length);
    expect(provider.refreshes.length).toBeGreaterThanOrEqual(5);
    expect(provider.reused).toEqual([]);
  });
});
