// Seed mcify-multi-user, "Checklist before you ship multi-user": its seven lines as tests, in its order and words, on a gateway that an application
// embeds, with an identity provider (pattern A) and the application's own sessions (pattern B).
import { routes } from '@mcp-valet/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startTokenStage, type TokenStage } from '../security/support/user-token-stage.ts';
import { type Json, toolJson } from '../support/gateway.ts';
import { nowSeconds } from '../support/issuer.ts';
import { wireText } from '../support/recorded-request.ts';

const sessions = new Map<string, { user: string; revokedAt?: Date; tenantId: string }>();
let stage: TokenStage;
beforeAll(async () => {
  stage = await startTokenStage({
    verifyToken: async (token) => {
      const session = sessions.get(token);
      if (session === undefined || session.revokedAt !== undefined) return null;
      return { user: session.user, claims: { tenantId: session.tenantId } };
    },
  });
  const { upstream } = stage.fixtures;
  await stage.rig.manage('POST', '/api/connectors', {
    connectorId: 'orders',
    kind: 'mcp-http',
    url: upstream.url,
    inject: { headers: { 'x-user': '{{claims.sub}}', 'x-tenant': '{{claims.tenantId}}' } },
    requires: [
      { actions: ['echo'], scopes: ['orders:refund'], message: 'Refunding orders requires the orders:refund scope.' },
    ],
  });
});
afterAll(() => stage?.close());
beforeEach(() => stage.fixtures.upstream.reset());

const jwt = (subject: string, claims: Json = {}) =>
  stage.idp.token(subject, { claims: { tenantId: 'acme-corp', ...claims } });
const call = (key: string | undefined, actionId: string, parameters: Json = {}, more: Json = {}) =>
  stage.rig.rpc(
    stage.path,
    {
      method: 'tools/call',
      params: { name: 'execute_action_alloy', arguments: { connectorId: 'orders', actionId, parameters }, ...more },
    },
    { key },
  );
const told = () =>
  stage.fixtures.upstream.recorded
    .filter(({ body }) => body.includes('tools/call'))
    .map(({ headers }) => [headers['x-tenant'], headers['x-user']]);

describe('checklist before you ship multi-user', () => {
  it('1. auth.oauth(...) or auth.bearer({ verify }) — never auth.none() in production', async () => {
    sessions.set('session-of-alice', { user: 'alice', tenantId: 'acme-corp' });
    sessions.set('revoked-session', { user: 'alice', tenantId: 'acme-corp', revokedAt: new Date() });
    for (const good of [jwt('sub-alice'), 'session-of-alice']) expect((await stage.open(good)).status).toBe(200);
    for (const bad of [undefined, 'revoked-session', 'made-up', jwt('sub-alice', { aud: 'another' })])
      expect((await stage.open(bad)).status).toBe(401);
    // No route but health, readiness and the description of the API answers anybody.
    const open = routes.filter(({ route }) => route.access.includes('public')).map(({ id }) => id);
    expect(open.sort()).toEqual(['system.health', 'system.healthz', 'system.openapi', 'system.readyz']);
  });

  it('2. no userId / tenantId / accountId fields in tool inputs: they are read from the claims', async () => {
    const { tools } = (await stage.open(jwt('sub-alice'))).body.result;
    for (const { name, inputSchema } of tools)
      for (const field of ['userId', 'tenantId', 'accountId', 'sub', 'username'])
        expect(Object.keys(inputSchema.properties ?? {}), name).not.toContain(field);
    const forged = { userId: 'sub-bob', tenantId: 'globex', sub: 'sub-bob', accountId: stage.fixtures.other.accountId };
    await call(jwt('sub-alice'), 'whoami', forged, { _meta: forged });
    await call('session-of-alice', 'whoami', forged);
    expect(told()).toEqual([
      ['acme-corp', 'sub-alice'],
      ['acme-corp', 'alice'],
    ]);
  });

  it('3. every query against the database filters by the user; a row-level policy stands behind it', async () => {
    const { home } = stage.fixtures;
    const listed = await stage.rig.send('/api/credentials?limit=1000', { key: jwt('sub-alice') });
    expect(listed.body.credentials.map(({ userId }: Json) => userId)).toEqual([home.alice.userId]);
    for (const path of [`/api/credentials/${home.bob.credentialId}`, '/users/bob'])
      expect((await stage.rig.send(path, { key: jwt('sub-alice') })).status).toBe(404);
    const tables = await stage.rig.sql<{ relname: string }>(
      '*',
      `select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id'
       where c.relkind = 'r' and not (c.relrowsecurity and c.relforcerowsecurity)`,
    );
    expect(tables).toEqual([]);
  });

  it('4. per-user upstream credentials are stored server-side and looked up by the claims, never accepted as tool input', async () => {
    const { alice, bob } = stage.fixtures.home;
    const forged = { authorization: 'Bearer mine', TOKEN: bob.canary.slice(0, 4), credentialId: bob.credentialId };
    const whoami = await stage.rig.rpc(
      stage.path,
      {
        method: 'tools/call',
        params: {
          name: 'execute_action_alloy',
          arguments: { connectorId: 'demo', actionId: 'whoami', parameters: forged },
        },
      },
      { key: jwt('sub-alice') },
    );
    expect(toolJson(whoami).headers.authorization).toBe('Bearer [secret]');
    const arrived = stage.fixtures.upstream.recorded.filter(({ body }) => body.includes('tools/call'));
    expect(arrived.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${alice.canary}`]);
    const named = await stage.whoami(jwt('sub-alice'), { 'x-credential-id': bob.credentialId });
    expect(named.body.result.isError).toBe(true);
    expect(wireText(stage.fixtures.upstream.recorded)).not.toContain(bob.canary);
  });

  it('5. sensitive tools are gated by scope: 403, not 401, with the scope named, and hidden from who lacks it', async () => {
    const refused = await call(jwt('sub-alice', { scope: 'orders:read' }), 'echo', { text: 'x' });
    expect(refused.status).toBe(403);
    expect(refused.text).toContain('Refunding orders requires the orders:refund scope.');
    expect(refused.headers.get('www-authenticate')).toContain('error="insufficient_scope", scope="orders:refund"');
    expect(told()).toEqual([]);
    const allowed = await call(jwt('sub-alice', { scope: 'orders:read orders:refund' }), 'echo', { text: 'x' });
    expect(allowed.body.result.isError).toBeUndefined();
    const actions = async (claims: Json) => {
      const message = {
        method: 'tools/call',
        params: { name: 'get_connector_resources_alloy', arguments: { connectorId: 'orders' } },
      };
      const answer = await stage.rig.rpc(stage.path, message, { key: jwt('sub-alice', claims) });
      return toolJson(answer).actions.map(({ id }: Json) => id);
    };
    expect(await actions({ scope: 'orders:refund' })).toContain('echo');
    expect(await actions({ scope: 'orders:read' })).not.toContain('echo');
    expect(await actions({ scope: 'orders:read' })).toContain('whoami');
  });

  it('6. logs scrub what identifies people: no name, subject, token or argument in the trail of a call', async () => {
    const token = jwt('sub-alice', { email: 'alice@private.example', jti: 'jti-private' });
    await call(token, 'whoami', { note: 'private-argument' });
    const { calls } = await stage.rig.manage('GET', '/api/calls?limit=1');
    const text = JSON.stringify(calls);
    expect(calls[0]).toMatchObject({ username: 'alice', outcome: 'ok' });
    for (const part of [token, 'alice@private.example', 'jti-private', 'private-argument', 'sub-alice'])
      expect(text).not.toContain(part);
  });

  it('7. token lifetime is short: longer ones are refused, and how long is the account’s own to say', async () => {
    const lasting = (seconds: number) => jwt('sub-alice', { exp: nowSeconds() + seconds });
    expect((await stage.open(lasting(900))).status).toBe(200);
    expect((await stage.open(lasting(2 * 86_400))).status).toBe(401);
    await stage.rig.manage('PATCH', `/api/issuers/${stage.issuerId}`, { maxLifetimeSeconds: 900 });
    expect((await stage.open(lasting(1_000))).status).toBe(401);
    expect((await stage.open(lasting(900))).status).toBe(200);
  });
});
