// NET-5: whatever is written into a field that holds a URL, no connection reaches what only this machine may reach. Witnesses are listeners on
// both loopback addresses; the proof that they would notice is the allowed target, which every field reaches.
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Rig, startRig } from '../support/gateway.ts';
import { Browser } from '../upstreams/oauth-browser.ts';
import { hostileNames, spellings } from './ssrf-spellings.ts';

const good = '127.0.0.2';
const inside = '127.0.0.1';

/** Counts who connects to it, and answers nothing. */
async function startCanary(
  host: string,
  port: number,
): Promise<{ server: net.Server; port: number; hits: () => number }> {
  let hits = 0;
  const server = net.createServer((socket) => {
    hits++;
    socket.destroy();
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
  return { server, port: (server.address() as AddressInfo).port, hits: () => hits };
}

const document = (servers: string[]) => ({
  openapi: '3.1.0',
  info: { title: 'Many servers', version: '1' },
  paths: Object.fromEntries(
    servers.map((url, i) => [
      `/op${i}`,
      { get: { operationId: `op${i}`, servers: [{ url }], responses: { 200: { description: 'ok' } } } },
    ]),
  ),
});

describe('fields that hold a URL', () => {
  let rig: Rig;
  let target: http.Server;
  let goodUrl = '';
  let seen: string[] = [];
  const canaries: Awaited<ReturnType<typeof startCanary>>[] = [];
  let all: string[] = [];
  let lookups = 0;
  const hits = () => canaries.reduce((sum, canary) => sum + canary.hits(), 0);
  /** Names of a zone that somebody else controls; loopback answers only. */
  const lookup = async (name: string) => {
    lookups++;
    const v4 = (address: string) => ({ address, family: 4 });
    const answers: Record<string, { address: string; family: number }[]> = {
      'inside.test': [v4(inside)],
      'inside6.test': [{ address: '::1', family: 6 }],
      'mapped.test': [{ address: '::ffff:127.0.0.1', family: 6 }],
      'mixed.test': [v4(good), v4(inside)],
      'mixed-late.test': [v4(good), v4(good), { address: '::1', family: 6 }],
      'rebind.test': [v4(lookups % 2 === 0 ? good : inside)],
      'good.test': [v4(good)],
    };
    return answers[name.replace(/\.$/, '')] ?? [v4(inside)];
  };

  beforeAll(async () => {
    canaries.push(await startCanary(inside, 0));
    canaries.push(await startCanary('::1', canaries[0]?.port ?? 0));
    // An upstream that may be reached: it redirects, describes and points wherever its path says.
    target = http.createServer((request, response) => {
      const url = new URL(request.url ?? '/', goodUrl);
      seen.push(url.pathname);
      const to = url.searchParams.get('to') ?? '';
      const json = (status: number, body: unknown, headers: http.OutgoingHttpHeaders = {}) =>
        response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
      if (url.pathname === '/redirect')
        return void response.writeHead(Number(url.searchParams.get('code')), { location: to }).end();
      if (url.pathname === '/guarded')
        return void json(401, {}, { 'www-authenticate': `Bearer resource_metadata="${to}"` });
      if (url.pathname === '/openapi.json') return void json(200, document([goodUrl]));
      const [, issuer] =
        /^\/\.well-known\/[a-z-]+\/(.+)$/.exec(url.pathname) ?? /^\/(.+)\/\.well-known\//.exec(url.pathname) ?? [];
      if (issuer !== undefined) {
        const hostile = decodeURIComponent(issuer.slice('as/'.length));
        return void json(200, {
          issuer: `${goodUrl}/${issuer}`,
          authorization_endpoint: `${goodUrl}/authorize`,
          token_endpoint: hostile,
          revocation_endpoint: hostile,
          jwks_uri: hostile,
          response_types_supported: ['code'],
          code_challenge_methods_supported: ['S256'],
        });
      }
      json(200, { ok: true });
    });
    await new Promise<void>((resolve) => target.listen(0, good, resolve));
    goodUrl = `http://${good}:${(target.address() as AddressInfo).port}`;
    all = spellings(canaries[0]?.port ?? 0, goodUrl);
    rig = await startRig({
      lookup,
      env: {
        VALET_ALLOWED_UPSTREAM_CIDRS: `${good}/32`,
        VALET_RATE_LIMIT: '1000000',
        VALET_LIST_RATE_LIMIT: '1000000',
      },
    });
    await rig.manage('POST', '/users', { username: 'alice' });
  });
  afterAll(async () => {
    await rig.close();
    target.closeAllConnections();
    target.close();
    for (const { server } of canaries) server.close();
  });

  let count = 0;
  const create = (fields: Record<string, unknown>) => {
    const connectorId = `c${++count}`;
    return rig
      .send('/api/connectors', { key: rig.admin, body: { connectorId, ...fields } })
      .then((answer) => ({ answer, connectorId }));
  };
  const call = (serverName: string, methodName: string) =>
    rig.send('/mcp/tool/call', { key: rig.admin, body: { username: 'alice', serverName, methodName, args: {} } });
  const drop = (connectorId: string) =>
    rig.send(`/api/connectors/${connectorId}`, { method: 'DELETE', key: rig.admin });

  it('are tried with at least 200 spellings', () => {
    expect(new Set(all).size).toBeGreaterThanOrEqual(200);
  });

  it('of an MCP upstream: refused when they are saved, or when a connection would be made', async () => {
    for (const url of all) {
      const { answer, connectorId } = await create({ kind: 'mcp-http', url });
      if (answer.status !== 201) {
        expect(answer.status, url).toBe(400);
        continue;
      }
      await rig.send(`/api/connectors/${connectorId}/refresh`, { key: rig.admin, method: 'POST' });
      expect((await call(connectorId, 'anything')).status, url).toBeGreaterThanOrEqual(400);
      await drop(connectorId);
    }
    expect(hits()).toBe(0);
  });

  it('of an OpenAPI document, its base URL and its servers', async () => {
    for (const url of all) {
      const imported = await create({ kind: 'http', openapi: url });
      expect(imported.answer.status, url).toBe(400);
      const based = await create({ kind: 'http', openapi: document([goodUrl]), baseUrl: url });
      if (based.answer.status === 201) {
        expect((await call(based.connectorId, 'op0')).status, url).not.toBe(200);
        await drop(based.connectorId);
      }
    }
    const { connectorId } = await create({ kind: 'http', openapi: document(all) });
    for (const [i] of all.entries()) await call(connectorId, `op${i}`);
    expect(hits()).toBe(0);
  });

  it('of OAuth settings and webhooks', async () => {
    for (const url of all) {
      for (const oauth of [
        { issuer: url, clientId: 'c' },
        { authorizationUrl: `${goodUrl}/authorize`, tokenUrl: url, clientId: 'c' },
        { issuer: goodUrl, revocationUrl: url, clientId: 'c' },
      ]) {
        const { answer, connectorId } = await create({ kind: 'mcp-http', url: `${goodUrl}/mcp`, oauth });
        if (answer.status !== 201) continue;
        // Only names pass: what they stand for is known when a connection is made.
        if (url.startsWith('http://')) await signIn(connectorId);
        await drop(connectorId);
      }
      await rig.send('/api/settings', { method: 'PUT', key: rig.admin, body: { webhookUrl: url } });
    }
    await rig.send('/api/settings', { method: 'PUT', key: rig.admin, body: { webhookUrl: null } });
    expect(hits()).toBe(0);
  });

  /** As far as a sign-in goes: to the provider and back with a code. */
  async function signIn(connectorId: string): Promise<void> {
    const made = await rig.manage('POST', '/api/credentials', {
      userId: 'alice',
      connectorId,
      authenticationType: 'oauth2',
    });
    const ticket = await rig.manage('POST', '/api/connect/tickets', { userId: 'alice', connectUrl: made.oauthUrl });
    const browser = new Browser();
    const consent = await browser.open(ticket.url);
    // Its page asks the provider for its metadata already.
    if (!consent.text.includes('<form')) return;
    const left = await browser.submit(consent, {}, `${goodUrl}/authorize`);
    const state = left.url.startsWith(goodUrl) ? new URL(left.url).searchParams.get('state') : null;
    if (state !== null) {
      const back = new URLSearchParams({ state, code: 'code' });
      await browser.open(`${rig.url}/oauth/callback?${back}`);
    }
  }

  it('of metadata that an upstream or provider publishes', async () => {
    const hostile = [...hostileNames.map((name) => `http://${name}:${canaries[0]?.port}/x`), ...all.slice(0, 40)];
    for (const url of hostile) {
      const guarded = await create({
        kind: 'mcp-http',
        url: `${goodUrl}/guarded?to=${encodeURIComponent(url)}`,
        oauth: {},
      });
      expect(guarded.answer.status).toBe(201);
      await signIn(guarded.connectorId);
      await drop(guarded.connectorId);
      const issuer = `${goodUrl}/as/${encodeURIComponent(url)}`;
      const provided = await create({ kind: 'mcp-http', url: `${goodUrl}/mcp`, oauth: { issuer, clientId: 'c' } });
      if (provided.answer.status !== 201) continue;
      await signIn(provided.connectorId);
      await drop(provided.connectorId);
    }
    expect(hits()).toBe(0);
  });

  it('behind a redirect of an allowed upstream', async () => {
    for (const code of [301, 302, 303, 307, 308]) {
      const to = `http://${inside}:${canaries[0]?.port}/mcp`;
      const url = `${goodUrl}/redirect?code=${code}&to=${encodeURIComponent(to)}`;
      const { connectorId } = await create({ kind: 'mcp-http', url });
      expect((await call(connectorId, 'anything')).status).toBeGreaterThanOrEqual(400);
      expect((await create({ kind: 'http', openapi: url })).answer.status).toBe(400);
    }
    expect(hits()).toBe(0);
  });

  it('reach the allowed target, by its address and by a name', async () => {
    for (const base of [goodUrl, goodUrl.replace(good, 'good.test')]) {
      seen = [];
      const { answer } = await create({ kind: 'http', openapi: `${base}/openapi.json` });
      expect(answer.status).toBe(201);
      expect(seen).toEqual(['/openapi.json']);
      const { connectorId } = await create({ kind: 'http', openapi: document([base]) });
      const done = await call(connectorId, 'op0');
      expect(done.body).toMatchObject({ success: true, data: { structuredContent: { ok: true } } });
    }
    expect(hits()).toBe(0);
  });
});
