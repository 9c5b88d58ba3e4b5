// What is kept of upstream lists: bounds on what an upstream may say, copies while it is slow or dead, and no mixing of keys.
import { performance } from 'node:perf_hooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Upstream, UpstreamFailure, type UpstreamRequest } from './backend.ts';
import { type ListKind, type ListSource, UpstreamLists } from './lists.ts';
import type { UpstreamKey } from './upstream-key.ts';

const key = (text: string) => text as UpstreamKey;
type Answer = (
  request: UpstreamRequest,
  upstream: Upstream,
) => Promise<Record<string, unknown>> | Record<string, unknown>;

function setup(answer: Answer, has: (capability: string) => boolean = () => true) {
  const asked: UpstreamRequest[] = [];
  const lists = new UpstreamLists(
    async (upstream, request) => {
      asked.push(request);
      return { result: await answer(request, upstream), status: 200 };
    },
    async (_, capability) => has(capability),
  );
  const source = (id = 'k'): ListSource => ({
    key: key(id),
    connector: { kind: 'mcp-http' } as ListSource['connector'],
    prepare: async () => ({ key: key(id) }) as Upstream,
  });
  const names = async (kind: ListKind = 'tools', id = 'k', fresh = false) =>
    (await lists.get(kind, source(id), fresh)).items.map((item) => item['name'] ?? item['uri'] ?? item['uriTemplate']);
  return { asked, lists, source, names };
}
const tool = (name: unknown, more: Record<string, unknown> = {}) => ({
  name,
  inputSchema: { type: 'object' },
  ...more,
});
const down = () => Promise.reject(new UpstreamFailure('unreachable', 'no'));

let nowMs = 0;
const passes = async (ms: number): Promise<void> => {
  nowMs += ms;
  await vi.advanceTimersByTimeAsync(ms);
};
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
});
afterEach(() => {
  vi.useRealTimers();
});

describe('reading', () => {
  it('follows the pages in order and asks for nothing without the capability', async () => {
    const pages: Record<string, Record<string, unknown>> = {
      start: { tools: [tool('a')], nextCursor: 'p2' },
      p2: { tools: [tool('b')], nextCursor: 'p3' },
      p3: { tools: [tool('c')] },
    };
    const { asked, names } = setup(
      ({ params }) => pages[typeof params['cursor'] === 'string' ? params['cursor'] : 'start'] ?? {},
      (capability) => capability === 'tools',
    );
    expect(await names()).toEqual(['a', 'b', 'c']);
    expect(asked.map(({ params }) => params)).toEqual([{}, { cursor: 'p2' }, { cursor: 'p3' }]);
    expect(await names('prompts')).toEqual([]);
    expect(await names('templates')).toEqual([]);
    expect(asked).toHaveLength(3);
  });

  it('asks each kind by its own method and field', async () => {
    const { asked, names } = setup(({ method }) => ({
      prompts: [{ name: method }],
      resources: [{ uri: method }],
      resourceTemplates: [{ uriTemplate: method }],
      tools: [tool(method)],
    }));
    for (const kind of ['tools', 'prompts', 'resources', 'templates'] as const)
      expect(await names(kind)).toEqual([asked.at(-1)?.method]);
    expect(asked.map(({ method }) => method)).toEqual([
      'tools/list',
      'prompts/list',
      'resources/list',
      'resources/templates/list',
    ]);
  });

  it('ends when an upstream never stops giving cursors, or gives the same one again', async () => {
    let page = 0;
    const endless = setup(() => ({ tools: [tool(`t${page}`)], nextCursor: `c${page++}` }));
    expect(await endless.names()).toHaveLength(50);
    const same = setup(() => ({ tools: [], nextCursor: 'again' }));
    await same.names();
    expect(same.asked).toHaveLength(2);
  });

  it('drops what is unusable, says why, and keeps the rest', async () => {
    let deep: Record<string, unknown> = { type: 'object' };
    for (let i = 0; i < 40; i++) deep = { type: 'object', properties: { next: deep } };
    const wide = {
      type: 'object',
      properties: Object.fromEntries(Array.from({ length: 2_100 }, (_, i) => [`p${i}`, { type: 'string' }])),
    };
    const bad = [
      null,
      'tool',
      tool(42),
      tool(''),
      tool('n'.repeat(2_049)),
      tool('nul\u0000'),
      tool('half\ud800'),
      { name: 'no-schema' },
      { name: 'list-schema', inputSchema: [] },
      tool('deep', { inputSchema: deep }),
      tool('wide', { inputSchema: wide }),
      tool('header', { inputSchema: { type: 'object', properties: { a: { type: 'number', 'x-mcp-header': 'A' } } } }),
      tool('good'),
    ];
    const { lists, source } = setup(() => ({ tools: [tool('good'), ...bad, tool('last')] }));
    const list = await lists.get('tools', source());
    expect(list.items.map((item) => item['name'])).toEqual(['good', 'last']);
    expect(list.dropped).toHaveLength(bad.length);
    expect(list.dropped.at(-1)).toEqual({ name: 'good', reason: 'listed twice' });
    expect(new Set(list.dropped.map(({ reason }) => reason)).size).toBe(7);
  });

  it('tells entries apart by what names their kind, in full', async () => {
    const long = `https://x.example/${'a'.repeat(300)}`;
    const { names } = setup(() => ({
      tools: [tool('a', { uri: 'same' }), tool('b', { uri: 'same' }), tool('a', { uri: 'other' })],
      resources: [
        { uri: `${long}1`, name: 'same' },
        { uri: `${long}2`, name: 'same' },
      ],
    }));
    expect(await names('tools')).toEqual(['a', 'b']);
    expect(await names('resources')).toHaveLength(2);
  });

  it('takes at most 500 entries and 1 MiB', async () => {
    const many = setup(() => ({ tools: Array.from({ length: 600 }, (_, i) => tool(`t${i}`)) }));
    expect(await many.names()).toHaveLength(500);
    const big = 'x'.repeat(300_000);
    const heavy = setup(() => ({ tools: ['a', 'b', 'c', 'd'].map((name) => tool(name, { description: big })) }));
    expect(await heavy.names()).toEqual(['a', 'b', 'c']);
  });

  it('takes a result without a list for an empty one', async () => {
    const { names } = setup(() => ({ tools: 'none' }));
    expect(await names()).toEqual([]);
  });
});

describe('keeping', () => {
  it('asks once for as long as the upstream allows, at most a minute', async () => {
    const short = setup(() => ({ tools: [tool('a')], ttlMs: 5_000 }));
    await short.names();
    await passes(4_999);
    await short.names();
    expect(short.asked).toHaveLength(1);
    await passes(1);
    await short.names();
    expect(short.asked).toHaveLength(2);

    const long = setup(() => ({ tools: [tool('a')], ttlMs: 86_400_000 }));
    await long.names();
    await passes(60_000);
    await long.names();
    expect(long.asked).toHaveLength(2);
  });

  it('keeps each upstream key and kind apart', async () => {
    const { asked, names } = setup((_, upstream) => ({
      tools: [tool(String(upstream.key))],
      prompts: [{ name: 'p' }],
    }));
    expect(await Promise.all([names('tools', 'alice'), names('tools', 'bob'), names('prompts', 'alice')])).toEqual([
      ['alice'],
      ['bob'],
      ['p'],
    ]);
    expect(asked).toHaveLength(3);
  });

  it('shares one read among all who wait', async () => {
    const { asked, names } = setup(() => ({ tools: [tool('a')] }));
    await Promise.all([names(), names(), names()]);
    expect(asked).toHaveLength(1);
  });

  it('asks anew when told so', async () => {
    const { asked, names } = setup(() => ({ tools: [tool('a')] }));
    await names();
    await names('tools', 'k', true);
    expect(asked).toHaveLength(2);
  });

  it('forgets what it is told to forget, also what is just being read', async () => {
    let answer: (value: Record<string, unknown>) => void = () => undefined;
    const { asked, lists, names, source } = setup(() =>
      asked.length < 2 ? { tools: [tool('old')] } : new Promise((resolve) => (answer = resolve)),
    );
    await names();
    lists.forget((id) => id === 'other');
    expect(lists.peek('tools', key('k'))).toBeDefined();
    lists.forget((id) => id === 'k');
    expect(lists.peek('tools', key('k'))).toBeUndefined();
    const waiting = lists.get('tools', source());
    await passes(0);
    lists.forget(() => true);
    answer({ tools: [tool('stale')] });
    await waiting;
    expect(lists.peek('tools', key('k'))).toBeUndefined();
  });
});

describe('a slow or dead upstream', () => {
  it('is answered for by the last good copy after 3 s, marked as not to be kept, while the read goes on', async () => {
    let answer: (value: Record<string, unknown>) => void = () => undefined;
    let isSlow = false;
    const { asked, lists, source } = setup(() =>
      isSlow ? new Promise((resolve) => (answer = resolve)) : { tools: [tool('old')] },
    );
    await lists.get('tools', source());
    isSlow = true;
    await passes(60_000);
    const waiting = lists.get('tools', source());
    await passes(3_000);
    expect(await waiting).toMatchObject({ items: [{ name: 'old' }], ttlMs: 0 });
    answer({ tools: [tool('new')] });
    await passes(0);
    expect(await lists.get('tools', source())).toMatchObject({ items: [{ name: 'new' }], ttlMs: 60_000 });
    expect(asked).toHaveLength(2);
  });

  it('is a timeout after 3 s when there is no copy', async () => {
    const { names } = setup(() => new Promise(() => undefined));
    const waiting = names();
    const failed = expect(waiting).rejects.toMatchObject({ kind: 'timeout' });
    await passes(3_000);
    await failed;
  });

  it('is not asked again for a second, and then recovers', async () => {
    let isDown = true;
    const { asked, names } = setup(() => (isDown ? down() : { tools: [tool('a')] }));
    await expect(names()).rejects.toMatchObject({ kind: 'unreachable' });
    await expect(names()).rejects.toMatchObject({ kind: 'unreachable' });
    expect(asked).toHaveLength(1);
    isDown = false;
    await passes(1_000);
    expect(await names()).toEqual(['a']);
  });

  it('keeps its last good copy through failures', async () => {
    let isDown = false;
    const { lists, source, names } = setup(() => (isDown ? down() : { tools: [tool('a')] }));
    await names();
    isDown = true;
    await passes(60_000);
    expect(await lists.get('tools', source())).toMatchObject({ items: [{ name: 'a' }], ttlMs: 0 });
    expect(await lists.get('tools', source())).toMatchObject({ items: [{ name: 'a' }], ttlMs: 0 });
    await expect(lists.get('tools', source(), true)).rejects.toMatchObject({ kind: 'unreachable' });
    expect(lists.peek('tools', key('k'))?.items).toHaveLength(1);
  });
});
