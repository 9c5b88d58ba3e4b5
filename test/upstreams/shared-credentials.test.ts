// Credentials of one user that others may use: only where the connector says so, only for who has none, and never a fallback.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addFixtures, canary, demoConnector, type Fixtures, type Rig, startRig } from '../support/gateway.ts';

describe('a shared credential', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  const lent = canary('lent');
  beforeAll(async () => {
    rig = await startRig();
    fixtures = await addFixtures(rig);
    await rig.manage('POST', '/users', { username: 'carol' });
    await rig.manage('POST', '/api/connectors', { ...demoConnector(fixtures.upstream.url, 'team'), allowShared: true });
    await rig.manage('POST', '/api/connectors', demoConnector(fixtures.upstream.url, 'private'));
    for (const connectorId of ['team', 'private']) {
      await rig.manage('POST', '/api/credentials', {
        userId: 'alice',
        connectorId,
        credentialId: `lent-${connectorId}`,
        authenticationType: 'secrets',
        fields: { TOKEN: lent },
        shared: true,
      });
    }
  });
  afterAll(async () => {
    await rig.close();
    await fixtures.close();
  });

  const call = (username: string, serverName: string, headers: Record<string, string> = {}) =>
    rig.send('/mcp/tool/call', {
      key: fixtures.home.enterprise,
      headers,
      body: { username, serverName, methodName: 'whoami', args: {} },
    });
  const lastToken = () => fixtures.upstream.recorded.at(-1)?.headers['authorization'];

  it('serves a user who has none, and the journal names it', async () => {
    const answer = await call('carol', 'team');
    expect(answer.body.success).toBe(true);
    expect(lastToken()).toBe(`Bearer ${lent}`);
    expect(answer.text).not.toContain(lent);
    const { calls } = await rig.manage('GET', '/api/calls?limit=1');
    expect(calls[0]).toMatchObject({ credentialId: 'lent-team' });
  });

  it('does not serve where the connector does not allow it, nor when it is asked for by name', async () => {
    expect((await call('carol', 'private')).body).toMatchObject({ success: false, code: 'credentials_required' });
    const byName = await call('carol', 'private', { 'x-credential-id': 'lent-private' });
    expect(byName.body).toMatchObject({ success: false, code: 'credentials_required' });
  });

  it('does not stand in for an own one that lacks a value', async () => {
    await rig.manage('POST', '/users', { username: 'dave' });
    await rig.manage('POST', '/api/credentials', {
      userId: 'dave',
      connectorId: 'team',
      authenticationType: 'secrets',
      fields: { OTHER: 'half of what it needs' },
    });
    expect((await call('dave', 'team')).body).toMatchObject({ success: false, code: 'credentials_required' });
  });

  it('gives way to an own one', async () => {
    const own = canary('own');
    await rig.manage('POST', '/users', { username: 'erin' });
    await rig.manage('POST', '/api/credentials', {
      userId: 'erin',
      connectorId: 'team',
      authenticationType: 'secrets',
      fields: { TOKEN: own },
    });
    expect((await call('erin', 'team')).body.success).toBe(true);
    expect(lastToken()).toBe(`Bearer ${own}`);
  });

  it('is shared by management keys only, and shown to its owner and to nobody else', async () => {
    const refused = await rig.send('/api/credentials', {
      key: fixtures.home.bob.key,
      body: { connectorId: 'team', authenticationType: 'secrets', fields: { TOKEN: 'x' }, shared: true },
    });
    expect(refused.status).toBe(403);
    const { credentials } = (await rig.send('/api/credentials', { key: fixtures.home.bob.key })).body;
    expect(JSON.stringify(credentials)).not.toContain('lent-');
    expect((await rig.send('/api/credentials/lent-team', { key: fixtures.home.bob.key })).status).toBe(404);
    const { credentials: owners } = (
      await rig.send('/api/credentials?connectorId=team', { key: fixtures.home.alice.key })
    ).body;
    expect(owners).toMatchObject([{ credentialId: 'lent-team', shared: true }]);
  });

  it('keeps the answer of a keyed call for the user who called', async () => {
    const headers = { 'idempotency-key': 'shared-once' };
    const first = await call('carol', 'team', headers);
    const again = await call('carol', 'team', headers);
    expect(again.headers.get('idempotent-replayed')).toBe('true');
    expect(again.body.data.content).toEqual(first.body.data.content);
  });

  it('ends for everybody at once when it is no longer shared, or its owner is gone', async () => {
    await rig.manage('PATCH', '/api/credentials/lent-team', { shared: false });
    expect((await call('carol', 'team')).body).toMatchObject({ success: false, code: 'credentials_required' });
    await rig.manage('PATCH', '/api/credentials/lent-team', { shared: true });
    expect((await call('carol', 'team')).body).toMatchObject({ success: true });
    await rig.manage('DELETE', '/users/alice');
    expect((await call('carol', 'team')).body).toMatchObject({ success: false, code: 'credentials_required' });
  });
});
