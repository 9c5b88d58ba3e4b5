// One refresh for everybody, with two gateway processes on one PostgreSQL: what they share is the row, and nothing in memory.
import { afterEach, describe, expect, it } from 'vitest';
import { ChildGateway, sharedEnvironment } from '../durability/support/child-gateway.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import type { Json } from '../support/gateway.ts';
import { startTokenProvider, type TokenProvider } from './token-provider.ts';

let database: TestDatabase | undefined;
let provider: TokenProvider | undefined;
let gateways: ChildGateway[] = [];
afterEach(async () => {
  await Promise.all(gateways.map((gateway) => gateway.kill()));
  await provider?.close();
  await database?.close();
  gateways = [];
});

interface Answered {
  status: number;
  body: Json;
}

async function send(url: string, key: string, path: string, body: unknown): Promise<Answered> {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

async function stage() {
  database = await openTestDatabase('postgres');
  provider = await startTokenProvider();
  const env: Record<string, string> = { ...sharedEnvironment(database.url), LOG_LEVEL: 'warn' };
  const start = async () => {
    const gateway = new ChildGateway(env);
    gateways.push(gateway);
    return (await gateway.up()).url;
  };
  const urls = [await start(), await start()];
  const key = env['VALET_API_KEY'] ?? '';
  const manage = async (path: string, body: unknown) => {
    const answer = await send(urls[0] as string, key, path, body);
    expect(answer.status).toBeLessThan(300);
    return answer.body;
  };
  await manage('/api/connectors', provider.connector('mail'));
  const deposit = async (username: string) => {
    await manage('/users', { username });
    const tokens = { ...provider?.grant(`subject-of-${username}`), expiresIn: 0 };
    await manage('/api/credentials', { userId: username, connectorId: 'mail', authenticationType: 'oauth2', tokens });
    return tokens.refreshToken;
  };
  const call = (n: number, username: string) =>
    send(urls[n % 2] as string, key, '/mcp/tool/call', {
      username,
      serverName: 'mail',
      methodName: 'echo',
      args: { text: 'hi' },
    });
  return { provider, deposit, call };
}

describe('two gateway processes', () => {
  it('make one refresh for 100 parallel calls with an expired token, and all calls succeed', async () => {
    const { provider: oauth, deposit, call } = await stage();
    oauth.delayMs = 300;
    for (let round = 1; round <= 3; round++) {
      const refreshToken = await deposit(`user${round}`);
      const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => call(n, `user${round}`)));
      expect(answers.filter(({ body }) => body.success !== true)).toEqual([]);
      expect(oauth.refreshes).toHaveLength(round);
      expect(oauth.refreshes.at(-1)).toBe(refreshToken);
    }
    expect(oauth.reused).toEqual([]);
  });

  it('lose no grant when the one that was asking is killed: the other goes on when its lease is over', async () => {
    const { provider: oauth, deposit, call } = await stage();
    await deposit('alice');
    // The provider never gets to answer the first: it has not spent the refresh token.
    oauth.mood = 'hang';
    const lost = call(0, 'alice').catch(() => undefined);
    while (oauth.refreshes.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await gateways[0]?.kill();
    await lost;
    oauth.mood = 'good';
    const end = performance.now() + 45_000;
    let answer = await call(1, 'alice');
    while (answer.body.success !== true && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      answer = await call(1, 'alice');
    }
    expect(answer.body.success).toBe(true);
    expect(oauth.reused).toEqual([]);
  });
});
