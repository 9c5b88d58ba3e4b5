// Pattern B of the seed: sessions of the application's own, verified by its webhook or by the function that an embedding process hands over.
import { createServer, type ServerResponse } from 'node:http';
import type { VerifiedUser } from '@mcp-valet/server';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Json } from '../support/gateway.ts';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';
import { wireText } from '../support/recorded-request.ts';
import { isSigned, type Received } from '../upstreams/webhook-receiver.ts';
import { startTokenStage, type TokenStage } from './support/user-token-stage.ts';

/** The session store of an application: token -> who it is of. */
const sessions = new Map<string, Json>();
const asked: (Received & { token: string })[] = [];
let answer: ((response: ServerResponse) => void) | undefined;
const verifier = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const body = Buffer.concat(chunks).toString('utf8');
    const { token } = JSON.parse(body) as { token: string };
    asked.push({ headers: request.headers, body, token, event: {} as Received['event'] });
    if (answer !== undefined) return answer(response);
    const session = sessions.get(token);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(session === undefined ? { active: false } : { active: true, ...session }));
  });
});

/** What the embedding application says, by token. */
const embedded = new Map<string, VerifiedUser | (() => Promise<VerifiedUser | null>)>();
const hookAsked: unknown[] = [];

let stage: TokenStage;
let secret: string;
beforeAll(async () => {
  const url = `http://127.0.0.1:${await listenOnLoopback(verifier)}/verify`;
  stage = await startTokenStage({
    verifyToken: async (token, place) => {
      hookAsked.push(place);
      const known = embedded.get(token);
      return typeof known === 'function' ? known() : (known ?? null);
    },
  });
  const made = await stage.rig.manage('POST', '/api/issuers', {
    type: 'webhook',
    name: 'sessions',
    url,
    tokenPrefix: 'sess_',
    createUsers: true,
  });
  secret = made.secret;
  await stage.map(made.issuerId, 'u-alice', 'alice');
});
afterAll(async () => {
  await stage?.close();
  await closeServer(verifier);
});
beforeEach(() => {
  answer = undefined;
  asked.length = 0;
  hookAsked.length = 0;
  stage.fixtures.upstream.reset();
});

let count = 0;
const newSession = (claims: Json = { sub: 'u-alice' }): string => {
  const token = `sess_${++count}_${Math.random()}`;
  sessions.set(token, claims);
  return token;
};

describe('a session that a webhook verifies', () => {
  it('runs calls as its user; the webhook is asked once in 5 s, signed, and hears nothing else', async () => {
    const token = newSession({ sub: 'u-alice', scope: 'orders:read' });
    const started = performance.now();
    for (let i = 0; i < 5; i++) expect((await stage.whoami(token)).body.result.isError).toBeUndefined();
    expect(wireText(stage.fixtures.upstream.recorded)).toContain(stage.fixtures.home.alice.canary);
    expect(wireText(stage.fixtures.upstream.recorded)).not.toContain(token);
    expect(asked.length).toBeLessThanOrEqual(1 + Math.floor((performance.now() - started) / 5_000));
    const [request] = asked as [(typeof asked)[0]];
    expect(JSON.parse(request.body)).toEqual({ token });
    expect(await isSigned(request, secret)).toBe(true);
    expect(await isSigned({ ...request, body: request.body.replace('sess', 'tess') }, secret)).toBe(false);
  });

  it('stands beside a key too, and alone in its header', async () => {
    const token = newSession();
    const beside = { headers: { 'x-alloy-user-token': token } };
    expect((await stage.open(stage.fixtures.home.enterprise, stage.path, beside)).status).toBe(200);
    expect((await stage.open(undefined, stage.path, beside)).status).toBe(200);
    expect((await stage.open(stage.fixtures.home.bob.key, stage.path, beside)).status).toBe(403);
  });

  it('makes a new user of a new subject, by the name that the webhook gives', async () => {
    const token = newSession({ sub: 'u-new', username: 'fresh', tenantId: 't' });
    expect((await stage.open(token)).status).toBe(200);
    expect((await stage.rig.manage('GET', '/users/fresh')).enabled).toBe(true);
    expect((await stage.open(newSession({ sub: 'u-impostor', username: 'bob' }))).status).toBe(200);
    const { identities } = await stage.rig.manage('GET', '/api/identities?userId=bob');
    expect(identities.map(({ subject }: Json) => subject)).toEqual(['sub-bob']);
  });

  it('is refused within 5 s of its end', async () => {
    const token = newSession();
    expect((await stage.open(token)).status).toBe(200);
    sessions.delete(token);
    const ended = performance.now();
    await expect.poll(async () => (await stage.open(token)).status, { interval: 100 }).toBe(401);
    // Five seconds, and what a busy machine takes to answer.
    expect(performance.now() - ended).toBeLessThan(7_500);
    // A good answer is kept, a bad one is not: a session that is there again opens at once.
    sessions.set(token, { sub: 'u-alice' });
    expect((await stage.open(token)).status).toBe(200);
  });

  it('that says when it ends is not used beyond that', async () => {
    const token = newSession({ sub: 'u-alice', exp: Date.now() / 1000 + 3 });
    expect((await stage.open(token)).status).toBe(200);
    await new Promise((resolve) => setTimeout(resolve, 3_050));
    expect((await stage.open(token)).status).toBe(401);
  });

  it.each<[string, (response: ServerResponse) => void]>([
    ['fails', (r) => void r.writeHead(500).end('{"active":true,"sub":"u-alice"}')],
    ['redirects', (r) => void r.writeHead(302, { location: '/verify' }).end()],
    ['answers no JSON', (r) => void r.end('yes')],
    ['answers a list', (r) => void r.end('[{"active":true}]')],
    ['says active as text', (r) => void r.end('{"active":"true","sub":"u-alice"}')],
    ['breaks off', (r) => void r.destroy()],
    ['hangs', () => undefined],
    ['never ends', (r) => void r.end(`{"active":true,"sub":"u-alice","x":"${'x'.repeat(200_000)}"}`)],
  ])('lets nobody in while its webhook %s: 503 within 5 s', async (_name, how) => {
    answer = how;
    const started = performance.now();
    expect((await stage.open(newSession())).status).toBe(503);
    expect(performance.now() - started).toBeLessThan(8_000);
  });

  it('asks about nothing but what begins as its tokens do', async () => {
    for (const token of ['other_1', 'a.b.c', stage.fixtures.dead.revoked]) await stage.open(token);
    expect(asked).toEqual([]);
    const body = { type: 'webhook', name: 'second', url: 'http://127.0.0.1:9/v', tokenPrefix: 'sess_' };
    expect((await stage.rig.send('/api/issuers', { key: stage.rig.admin, body })).status).toBe(409);
  });
});

describe('a session that the embedding application verifies', () => {
  it('runs calls as the user whom the function names, and is asked about no key and no JWT', async () => {
    embedded.set('app-1', { user: 'bob', scopes: ['a'], claims: { tenantId: 't1' } });
    await stage.open(stage.fixtures.home.alice.key);
    await stage.open(stage.idp.token('sub-alice'));
    await stage.open(stage.idp.token('sub-alice', { claims: { aud: 'x' } }));
    expect(hookAsked).toEqual([]);
    expect((await stage.whoami('app-1')).body.result.isError).toBeUndefined();
    expect(wireText(stage.fixtures.upstream.recorded)).toContain(stage.fixtures.home.bob.canary);
    const { accountId, server } = stage.fixtures.home;
    expect(hookAsked).toEqual([{ accountId, serverId: server.serverId }]);
    expect((await stage.rig.send('/api/me', { key: 'app-1' })).body).toMatchObject({
      kind: 'jwt',
      keyId: 'verifyToken',
      scopes: ['a'],
      effectiveUser: { username: 'bob' },
    });
  });

  it('makes users only where the function says so, and stays in its account', async () => {
    embedded.set('app-2', { user: 'walk-in' });
    embedded.set('app-3', { user: 'walk-in-2', createUser: true });
    embedded.set('app-4', { user: 'alice', accountId: stage.fixtures.other.accountId });
    expect((await stage.open('app-2')).status).toBe(403);
    const answers = await Promise.all([1, 2, 3].map(() => stage.open('app-3')));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect((await stage.open('app-4')).status).toBe(401);
    expect((await stage.rig.send('/api/me', { key: 'app-4' })).body.account.accountId).toBe(
      stage.fixtures.other.accountId,
    );
  });

  it('is refused when the function says null, and 503 when it throws', async () => {
    embedded.set('app-5', async () => null);
    embedded.set('app-6', async () => Promise.reject(new Error('secret words of the application')));
    expect((await stage.open('app-5')).status).toBe(401);
    const failed = await stage.open('app-6');
    expect(failed.status).toBe(503);
    expect(failed.text).not.toContain('secret words');
  });

  it('is refused within 5 s of its end', async () => {
    embedded.set('app-7', { user: 'alice' });
    expect((await stage.open('app-7')).status).toBe(200);
    embedded.delete('app-7');
    const ended = performance.now();
    await expect.poll(async () => (await stage.open('app-7')).status, { interval: 100 }).toBe(401);
    // Five seconds, and what a busy machine takes to answer.
    expect(performance.now() - ended).toBeLessThan(7_500);
  });
});
