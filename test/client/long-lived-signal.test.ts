// A process that gives every call the same AbortSignal, the one of its own shutdown: what each call leaves on it, or anywhere, adds up.
import { getEventListeners } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MCPClient } from '@mcp-valet/client';
import { expect, it } from 'vitest';

const calls = 10_000;
/** The design's figure. A listener that stays costs over 10 MB in as many calls, a closure of 200 bytes 2 MB. */
const maxGrowthBytes = 2_000_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

async function heapBytes(): Promise<number> {
  // Finalizers run between turns, so what the first collection frees may hold more.
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

it('keeps nothing of 10,000 calls on one signal, whether they succeed, fail or never leave', async () => {
  const controller = new AbortController();
  const { signal } = controller;
  let sent = 0;
  const answer: typeof fetch = async (_, init) => {
    const count = ++sent;
    if (count % 5 === 0) return Response.json({ error: { code: 'FORBIDDEN', message: 'No' } }, { status: 403 });
    if (count % 7 === 0) throw new TypeError('fetch failed', { cause: { code: 'ECONNREFUSED' } });
    const { id } = JSON.parse(init?.body as string) as { id: string };
    return Response.json({ jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: 'ok' }] } });
  };
  const client = new MCPClient({
    baseUrl: 'http://localhost',
    apiKey: 'k',
    fetch: answer,
    logLevel: 'off',
    // No failure waits for its second attempt, and all users stay in memory from the first round on.
    maxRetries: 0,
    rateLimit: { maxConcurrentPerUser: 100, maxConcurrent: 100 },
  });
  const outcomes = new Set<string>();
  const run = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 20) {
      const ends = await Promise.all(
        Array.from({ length: 20 }, (_, i) => client.forUser(`user-${i}`, { signal }).execute('echo').safe()),
      );
      for (const end of ends) outcomes.add(end.ok ? 'ok' : end.error.name);
    }
  };

  // What is made once is made: caches, compiled code, the budget.
  await run(2000);
  const before = await heapBytes();
  await run(calls);
  expect(await heapBytes()).toBeLessThan(before + maxGrowthBytes);
  expect(sent).toBeGreaterThanOrEqual(calls);
  expect([...outcomes].sort()).toEqual(['ConnectionError', 'PermissionError', 'ok']);
  expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  await client.close();
});
