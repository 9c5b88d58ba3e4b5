// Renewal and revocation with a real provider, and that a provider in trouble never keeps a credential from being deleted.
import { afterEach, describe, expect, it } from 'vitest';
import { type OAuthStage, startOAuthStage } from './oauth-stage.ts';
import { callEcho, isGood, type RefreshStage, startRefreshStage, until } from './refresh-stage.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});
async function scripted(options: Parameters<typeof startRefreshStage>[0] = {}): Promise<RefreshStage> {
  const stage = await startRefreshStage(options);
  closing.push(() => stage.close());
  return stage;
}

describe('a grant from a real provider', () => {
  /** Puts the end of the access token into the past; a change through the gateway makes every cache look again. */
  async function expire({ rig, accountId }: OAuthStage, credentialId: string): Promise<void> {
    const at = `update credentials set token_expires_at = now() - interval '1 minute' where account_id = $1 and id = $2`;
    await rig.sql(accountId, at, [accountId, credentialId]);
    await rig.manage('PATCH', `/api/credentials/${credentialId}`, { label: 'mine' });
  }
  const authorizations = ({ upstream }: OAuthStage) => [
    ...new Set(upstream.recorded.map(({ headers }) => headers.authorization)),
  ];

  it('is renewed once for many calls, and revoked when its credential is deleted', async () => {
    const stage = await startOAuthStage();
    closing.push(() => stage.close());
    const { rig, provider, keys } = stage;
    const { credentialId, oauthUrl } = await stage.link('alice');
    await stage.connect('alice', 'alice@provider', oauthUrl);
    expect(isGood(await callEcho(rig, 'alice', keys.alice))).toBe(true);
    expect(authorizations(stage)).toHaveLength(1);
    await expire(stage, credentialId);
    const asked = () => provider.requests.filter((request) => request === 'POST /token').length;
    const before = asked();

    const answers = await Promise.all(Array.from({ length: 8 }, () => callEcho(rig, 'alice', keys.alice)));

    expect(answers.filter((answer) => !isGood(answer)).map((answer) => answer.text)).toEqual([]);
    expect(asked() - before).toBe(1);
    expect(authorizations(stage)).toHaveLength(2);
    expect(await stage.credential(credentialId)).toMatchObject({ status: 'valid' });
    expect((await stage.events('credential.refresh')).map(({ outcome, target }) => [outcome, target])).toEqual([
      ['ok', credentialId],
    ]);

    const gone = await rig.manage('DELETE', `/api/credentials/${credentialId}`);

    expect(gone).toEqual({ message: 'Credential deleted', credentialId, revokedUpstream: true });
    expect(provider.requests.filter((request) => request === 'POST /token/revocation')).toHaveLength(2);
    expect(provider.errors).toEqual([]);
  });
});

describe('deleting an oauth2 credential', () => {
  it('revokes the refresh token and the access token at the provider, and only its own', async () => {
    const stage = await scripted();
    const alice = await stage.deposit('alice', { expiresIn: 3600 });
    const bob = await stage.deposit('bob', { expiresIn: 3600 });
    const path = `/api/credentials/${alice.credentialId}`;

    const foreign = await stage.rig.send(path, { method: 'DELETE', key: bob.key });
    expect(foreign.status).toBe(404);
    expect(stage.provider.revoked).toEqual([]);

    const gone = await stage.rig.send(path, { method: 'DELETE', key: alice.key });
    expect(gone.body).toMatchObject({ revokedUpstream: true });
    expect([...stage.provider.revoked].sort((a, b) => String(a.hint).localeCompare(String(b.hint)))).toEqual([
      { token: alice.accessToken, hint: 'access_token' },
      { token: alice.refreshToken, hint: 'refresh_token' },
    ]);
    expect((await stage.rig.send(path, { key: alice.key })).status).toBe(404);
    const events = await stage.rig.manage('GET', '/api/audit?action=credential.delete');
    expect(events.events.filter((event: { outcome: string }) => event.outcome === 'ok')).toHaveLength(1);
  });

  it('revokes also what a renewal brings that is under way', async () => {
    const stage = await scripted();
    const { credentialId, key } = await stage.deposit('alice');
    stage.provider.delayMs = 800;
    const call = callEcho(stage.rig, 'alice', key);
    expect(await until(() => stage.provider.pending > 0)).toBe(true);

    const gone = await stage.rig.manage('DELETE', `/api/credentials/${credentialId}`);

    expect(gone).toMatchObject({ revokedUpstream: true });
    await call;
    expect(stage.provider.refreshes).toHaveLength(1);
    expect(stage.provider.living()).toBe(0);
  });

  it('says null where the provider offers no revocation', async () => {
    const stage = await scripted({ revocation: false });
    const { credentialId } = await stage.deposit('alice', { expiresIn: 3600 });
    expect(await stage.rig.manage('DELETE', `/api/credentials/${credentialId}`)).toMatchObject({
      revokedUpstream: null,
    });
    expect(stage.provider.revoked).toEqual([]);
  });

  it.each(['error-500', 'hang'] as const)(
    'succeeds and says false when the provider is in trouble (%s)',
    async (mood) => {
      const stage = await scripted();
      const { credentialId, key } = await stage.deposit('alice', { expiresIn: 3600 });
      stage.provider.mood = mood;
      const started = performance.now();

      expect(await stage.rig.manage('DELETE', `/api/credentials/${credentialId}`)).toMatchObject({
        revokedUpstream: false,
      });

      expect(performance.now() - started).toBeLessThan(15_000);
      expect((await stage.rig.send(`/api/credentials/${credentialId}`, { key })).status).toBe(404);
      const left = await stage.rig.sql(stage.accountId, 'select name from secrets where credential_id = $1', [
        credentialId,
      ]);
      expect(left).toEqual([]);
    },
  );

  it('says nothing of revocation for a credential that is no oauth2 one', async () => {
    const stage = await scripted();
    const { rig, provider } = stage;
    await rig.manage('POST', '/users', { username: 'carol' });
    const { credentialId } = await rig.manage('POST', '/api/credentials', {
      userId: 'carol',
      connectorId: 'mail',
      authenticationType: 'secrets',
      fields: { TOKEN: 'x' },
    });
    expect(await rig.manage('DELETE', `/api/credentials/${credentialId}`)).toEqual({
      message: 'Credential deleted',
      credentialId,
    });
    expect(provider.revoked).toEqual([]);
  });
});
