// Proves that the recording upstream counts and the hostile upstream really misbehaves as their tests will assume.
// Must not test the gateway.
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { behaviours, encodings, type HostileUpstream, startHostileUpstream } from './hostile-upstream.ts';
import { wireText } from './recorded-request.ts';
import { type RecordingUpstream, type RecordingUpstreamOptions, startRecordingUpstream } from './recording-upstream.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function recording(options?: RecordingUpstreamOptions): Promise<RecordingUpstream> {
  const upstream = await startRecordingUpstream(options);
  closers.push(() => upstream.close());
  return upstream;
}
async function hostile(): Promise<HostileUpstream> {
  const upstream = await startHostileUpstream();
  closers.push(() => upstream.close());
  return upstream;
}

interface Extra {
  readonly headers?: Record<string, string>;
  readonly meta?: Record<string, unknown>;
  readonly signal?: AbortSignal;
}

function call(url: string, name: string, args: Record<string, unknown> = {}, extra: Extra = {}): Promise<Response> {
  const { headers, meta, signal = AbortSignal.timeout(10_000) } = extra;
  const params = { name, arguments: args, ...(meta === undefined ? {} : { _meta: meta }) };
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
    body: JSON.stringify({ jsonrpc: '2.0', id: 7, method: 'tools/call', params }),
    redirect: 'manual',
    signal,
  });
}

async function textOf(response: Promise<Response>): Promise<string> {
  const body = (await (await response).json()) as { result: { content: { text: string }[] } };
  return body.result.content.map((block) => block.text).join('');
}

const meta = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {},
};
const modernHeaders = (name: string) => ({
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': 'tools/call',
  'mcp-name': name,
});

describe('the recording upstream', () => {
  it('says which credential and arguments arrived', async () => {
    const { url } = await recording();
    const extra = { headers: { authorization: 'Bearer canary', 'x-api-key': 'k' } };
    expect(JSON.parse(await textOf(call(`${url}?key=q`, 'whoami', { apiKey: 'a' }, extra)))).toEqual({
      headers: { authorization: 'Bearer canary', 'x-api-key': 'k' },
      arguments: { apiKey: 'a' },
      url: '/mcp?key=q',
    });
  });

  it('counts executions per marker, also of a call it never answers', async () => {
    const upstream = await recording();
    expect(await textOf(call(upstream.url, 'count', { marker: 'm' }))).toBe('1');
    await expect(call(upstream.url, 'count', { marker: 'm', hangUp: true })).rejects.toThrow('fetch failed');
    expect(upstream.counts()).toEqual(new Map([['m', 2]]));
    upstream.reset();
    expect(upstream.counts().size).toBe(0);
  });

  it('notices a caller that leaves a slow call', async () => {
    const upstream = await recording();
    const caller = new AbortController();
    const left = call(upstream.url, 'slow', { ms: 20_000 }, { signal: caller.signal });
    const rejected = expect(left).rejects.toThrow(/abort/i);
    // Leaving before the request arrived would prove nothing.
    await vi.waitFor(() => expect(upstream.methods().get('tools/call')).toBe(1), { timeout: 5_000 });
    expect(upstream.aborted()).toBe(0);
    caller.abort();
    await rejected;
    await vi.waitFor(() => expect(upstream.aborted()).toBe(1), { timeout: 5_000 });
  });

  it('adds, echoes and fails in both ways', async () => {
    const { url } = await recording();
    expect(await textOf(call(url, 'add', { a: 1, b: 2 }))).toBe('3');
    expect(await textOf(call(url, 'echo', { text: 'hi' }))).toBe('hi');
    expect(await (await call(url, 'fail')).json()).toMatchObject({ id: 7, result: { isError: true } });
    expect(await (await call(url, 'fail', { code: -32001 })).json()).toMatchObject({ error: { code: -32001 } });
  });

  it('keeps requests byte for byte only when asked', async () => {
    const silent = await recording();
    await call(silent.url, 'whoami');
    expect(silent.recorded).toHaveLength(0);
    const upstream = await recording({ record: true });
    await call(upstream.url, 'echo', { text: 'needle' }, { headers: { 'X-Canary': 'hay' } });
    expect(wireText(upstream.recorded)).toMatch(/x-canary: hay[\s\S]*needle/i);
    expect(upstream.methods()).toEqual(new Map([['tools/call', 1]]));
  });

  it('serves 2026-07-28 only when asked and only with agreeing headers', async () => {
    const old = await recording();
    const headers = modernHeaders('add');
    expect((await call(old.url, 'add', { a: 1, b: 2 }, { headers, meta })).status).toBe(400);
    const { url } = await recording({ modern: true });
    const good = await call(url, 'add', { a: 1, b: 2 }, { headers, meta });
    expect(await good.json()).toMatchObject({ result: { resultType: 'complete', content: [{ text: '3' }] } });
    const bad = await call(url, 'add', { a: 1, b: 2 }, { headers: modernHeaders('echo'), meta });
    expect([bad.status, await bad.json()]).toMatchObject([400, { error: { code: -32020 } }]);
    expect(await textOf(call(url, 'add', { a: 1, b: 2 }))).toBe('3');
  });

  it('lets a test answer instead and can stream', async () => {
    const refusing = await recording({ intercept: () => ({ status: 401, headers: { 'www-authenticate': 'Bearer' } }) });
    expect((await call(refusing.url, 'whoami')).headers.get('www-authenticate')).toBe('Bearer');
    const streaming = await recording({ sse: true });
    expect(await (await call(streaming.url, 'add', { a: 1, b: 2 })).text()).toMatch(
      /^event: message\ndata: \{.*\}\n\n$/,
    );
  });
});

describe('the hostile upstream', () => {
  it('handshakes and lists one tool per behaviour', async () => {
    const { url } = await hostile();
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    const response = await fetch(url, { method: 'POST', body });
    const { result } = (await response.json()) as { result: { tools: { name: string }[] } };
    expect(result.tools.map((tool) => tool.name)).toEqual(Object.keys(behaviours));
  });

  it('sends as much as it was told to, as JSON, SSE and gzip', async () => {
    const { url } = await hostile();
    const bytes = 1024 * 1024;
    for (const name of ['huge-json', 'huge-sse', 'gzip-bomb']) {
      const response = await call(url, name, { bytes });
      const text = await response.text();
      expect(text.length).toBeGreaterThanOrEqual(bytes);
      expect(text).toContain('"id":7');
    }
    expect(Number((await call(url, 'gzip-bomb', { bytes })).headers.get('content-length'))).toBeLessThan(bytes / 500);
  });

  it.each(['silence', 'drip', 'ping-forever', 'endless-sse', 'stall'])('%s never finishes by itself', async (name) => {
    const upstream = await hostile();
    const caller = new AbortController();
    let finished = false;
    const read = call(upstream.url, name, {}, { signal: caller.signal })
      .then((response) => response.text())
      .finally(() => {
        finished = true;
      });
    const rejected = expect(read).rejects.toThrow(/abort/i);
    await vi.waitFor(() => expect(upstream.open()).toBe(1), { timeout: 5_000 });
    await delay(300);
    expect(finished).toBe(false);
    caller.abort();
    await rejected;
    await vi.waitFor(() => expect(upstream.open()).toBe(0), { timeout: 5_000 });
  });

  it.each(['close-at-once', 'close-mid-body', 'close-mid-sse', 'bad-http'])(
    '%s breaks the connection',
    async (name) => {
      const { url } = await hostile();
      const read = call(url, name).then((response) => response.text());
      await expect(read).rejects.toThrow(/fetch failed|terminated/);
    },
  );

  it('answers with broken JSON, foreign ids, statuses and redirects', async () => {
    const upstream = await hostile();
    await expect((await call(upstream.url, 'bad-json')).json()).rejects.toThrow(SyntaxError);
    expect(await (await call(upstream.url, 'wrong-id')).json()).toMatchObject({ id: 'somebody-elses-id' });
    const busy = await call(upstream.url, 'status', { code: 503, retryAfter: 2 });
    expect([busy.status, busy.headers.get('retry-after')]).toEqual([503, '2']);
    const redirect = await call(upstream.url, 'redirect');
    expect([redirect.status, redirect.headers.get('location')]).toEqual([307, '/redirected']);
    expect(await (await call(upstream.url, 'server-requests')).text()).toContain('sampling/createMessage');
  });

  it('misbehaves on another method when the address says so', async () => {
    const upstream = await hostile();
    const list = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    const response = await fetch(upstream.urlFor('many-tools', 'tools/list'), { method: 'POST', body: list });
    const { result } = (await response.json()) as { result: { tools: unknown[] } };
    expect(result.tools).toHaveLength(100_000);
    const init = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
    const handshake = await fetch(upstream.urlFor('many-tools', 'tools/list'), { method: 'POST', body: init });
    expect(await handshake.json()).toMatchObject({ result: { serverInfo: { name: 'hostile-upstream' } } });
  });

  it.each(['text', 'error', 'structured', 'meta', 'resource', 'rpc-error'])(
    'sends a received credential back in every encoding, in %s',
    async (where) => {
      const { url } = await hostile();
      const secret = 'c4nary "token"/+1';
      const headers = { authorization: `Bearer ${secret}` };
      const body: unknown = await (await call(url, 'echo-secrets', { where }, { headers })).json();
      const wire = JSON.stringify(body);
      for (const encode of Object.values(encodings))
        expect(wire).toContain(JSON.stringify(encode(secret)).slice(1, -1));
    },
  );
});
