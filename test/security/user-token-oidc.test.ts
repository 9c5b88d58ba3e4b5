// User tokens of a real OpenID provider, in process: found by its discovery document, minted at its token endpoint, its keys rotated.
import { randomBytes } from 'node:crypto';
import { createServer, type RequestListener } from 'node:http';
import Provider, { type Configuration } from 'oidc-provider';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Json } from '../support/gateway.ts';
import { newKey, type SigningKey } from '../support/issuer.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { startTokenStage, type TokenStage } from './support/user-token-stage.ts';

const resource = 'https://valet.example/mcp';
const client = { client_id: 'app', client_secret: randomBytes(24).toString('hex') };
const grant = 'urn:example:sign-in';

/** Its address stays, its keys are what a test says: a provider after a rotation is the same provider. */
async function startOpenIdProvider(first: SigningKey) {
  let answer: RequestListener = () => undefined;
  const server = createServer((request, response) => answer(request, response));
  const issuer = `http://127.0.0.1:${await listenOnLoopback(server)}`;
  const info = {
    scope: 'orders:read',
    audience: resource,
    accessTokenFormat: 'jwt',
    jwt: { sign: { alg: 'RS256' } },
  } as const;
  const publish = (...keys: SigningKey[]): void => {
    const jwks = {
      keys: keys.map(({ privateKey, kid }) => ({ ...privateKey.export({ format: 'jwk' }), kid, use: 'sig' })),
    };
    const settings: Json = {
      clients: [{ ...client, redirect_uris: [], response_types: [], grant_types: [grant] }],
      jwks,
      cookies: { keys: [randomBytes(16).toString('hex')] },
      scopes: ['openid', 'orders:read'],
      findAccount: (_ctx: unknown, id: string) => ({ accountId: id, claims: async () => ({ sub: id }) }),
      ttl: { AccessToken: 600 },
      features: {
        devInteractions: { enabled: false },
        resourceIndicators: { enabled: true, getResourceServerInfo: () => info },
      },
    };
    const provider: Json = new Provider(issuer, settings as Configuration);
    provider.registerGrantType(
      grant,
      async (ctx: Json) => {
        const { AccessToken, ResourceServer } = provider;
        const token = new AccessToken({ accountId: ctx.oidc.params.login, client: ctx.oidc.client, gty: 'sign-in' });
        token.resourceServer = new ResourceServer(resource, info);
        token.scope = 'orders:read';
        ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType };
      },
      ['login'],
    );
    answer = provider.callback();
  };
  publish(first);
  return {
    issuer,
    publish,
    async signIn(login: string): Promise<string> {
      const reply = await fetch(`${issuer}/token`, {
        method: 'POST',
        headers: {
          authorization: `Basic ${Buffer.from(`${client.client_id}:${client.client_secret}`).toString('base64')}`,
        },
        body: new URLSearchParams({ grant_type: grant, login }),
      });
      const body = (await reply.json()) as Json;
      if (reply.status !== 200) throw new Error(`no token: ${JSON.stringify(body)}`);
      return body.access_token;
    },
    close: () => closeServer(server),
  };
}

let stage: TokenStage;
let provider: Awaited<ReturnType<typeof startOpenIdProvider>>;
const [one, two] = [newKey('RS256', 'key-1'), newKey('RS256', 'key-2')];
beforeAll(async () => {
  stage = await startTokenStage();
  provider = await startOpenIdProvider(one);
});
afterAll(async () => {
  await stage?.close();
  await provider?.close();
});

describe('tokens of a real provider', () => {
  it('are believed by its name and audience alone: its keys are found', async () => {
    const made = await stage.rig.manage('POST', '/api/issuers', {
      type: 'jwt',
      name: 'provider',
      issuer: provider.issuer,
      audience: [resource],
      createUsers: true,
      requiredScopes: ['orders:read'],
    });
    expect(made.jwksUri).toBe(`${provider.issuer}/jwks`);
    const token = await provider.signIn('carol');
    const header = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString());
    expect(header).toMatchObject({ typ: 'at+jwt', alg: 'RS256', kid: 'key-1' });
    expect((await stage.rig.send('/api/me', { key: token })).body).toMatchObject({
      kind: 'jwt',
      scopes: ['orders:read'],
      effectiveUser: { username: 'carol' },
    });
    expect((await stage.open(token)).status).toBe(200);
    const { authorization_servers } = (await (
      await fetch(`${stage.rig.url}/.well-known/oauth-protected-resource${stage.path}`)
    ).json()) as Json;
    expect(authorization_servers).toContain(provider.issuer);
  });

  it('are believed through a rotation: a new key without a restart, the old one while it is published, a removed one no more', async () => {
    const old = await provider.signIn('carol');
    provider.publish(two, one);
    const fresh = await provider.signIn('carol');
    expect(JSON.parse(Buffer.from(fresh.split('.')[0] as string, 'base64url').toString()).kid).toBe('key-2');
    expect((await stage.open(old)).status).toBe(200);
    expect((await stage.open(fresh)).status).toBe(401);
    // The key set may be asked for again 30 s after it was asked for last: the process' clock is put forward instead of waiting.
    const clock = performance.now.bind(performance);
    let aheadMs = 31_000;
    vi.spyOn(performance, 'now').mockImplementation(() => clock() + aheadMs);
    await expect.poll(async () => (await stage.open(fresh)).status, { timeout: 35_000, interval: 1_000 }).toBe(200);
    expect((await stage.open(old)).status).toBe(200);
    provider.publish(two);
    const three = newKey('RS256', 'key-3');
    provider.publish(three, two);
    const newest = await provider.signIn('carol');
    expect((await stage.open(newest)).status).toBe(401);
    aheadMs += 31_000;
    await expect.poll(async () => (await stage.open(newest)).status, { timeout: 35_000, interval: 1_000 }).toBe(200);
    expect((await stage.open(fresh)).status).toBe(200);
    expect((await stage.open(old)).status).toBe(401);
    expect(stage.reasons().at(-1)).toBe('user_token_unknown_key');
  }, 90_000);

  it('are not believed for another audience, nor by an issuer whose discovery document is another’s', async () => {
    const body = { type: 'jwt', name: 'near', issuer: `${provider.issuer}/`, audience: [resource] };
    const refused = await stage.rig.send('/api/issuers', { key: stage.rig.admin, body });
    expect([refused.status, refused.body.error.code]).toEqual([502, 'UPSTREAM_ERROR']);
    const nowhere = { ...body, name: 'nowhere', issuer: 'http://127.0.0.1:9' };
    expect((await stage.rig.send('/api/issuers', { key: stage.rig.admin, body: nowhere })).status).toBe(502);
    const inside = { ...body, name: 'inside', issuer: 'http://169.254.169.254' };
    const guarded = await stage.rig.send('/api/issuers', { key: stage.rig.admin, body: inside });
    expect(guarded.status).toBe(502);
    expect(guarded.body.error.code).toBe('UPSTREAM_UNREACHABLE');
  });
});
