// The raw carrier over real HTTP: what is made of every answer, and of an end before it.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { callOf, failureOf, rawCarrier, upstreamOf } from '../support/raw-upstream.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import {
  type RecordingUpstream,
  type RecordingUpstreamOptions,
  startRecordingUpstream,
} from '../support/recording-upstream.ts';

const modern = { modern: true } as const;
const legacy = { modern: false, version: '2025-06-18' } as const;
const { egress, raw } = rawCarrier();
const opened: RecordingUpstream[] = [];
afterEach(async () => {
  for (const upstream of opened.splice(0)) await upstream.close();
});
afterAll(() => egress.close());

async function start(options: RecordingUpstreamOptions = {}): Promise<RecordingUpstream> {
  const upstream = await startRecordingUpstream({ record: true, modern: true, ...options });
  opened.push(upstream);
  return upstream;
}
const bodyOf = (request: RecordedRequest | undefined) =>
  JSON.parse(request?.body.toString() ?? 'null') as Record<string, unknown> & { id: number };
const textOf = (result: Record<string, unknown>): string => (result['content'] as { text: string }[])[0]?.text ?? '';

describe('an answer', () => {
  it('is read from a stream as from JSON', async () => {
    const upstream = await start({ sse: true });
    expect(textOf((await raw.request(upstreamOf(upstream.url), callOf('echo', { text: 'ü' }), modern)).result)).toBe(
      'ü',
    );
  });

  /** Answers with what `make` says for the id of the request. */
  const answering = (
    make: (id: number) => unknown,
    status = 200,
    headers: Record<string, string> = { 'content-type': 'application/json' },
  ) =>
    start({
      intercept: (request) => {
        const made = make(bodyOf(request).id);
        return { status, headers, body: typeof made === 'string' ? made : JSON.stringify(made) };
      },
    });
  const failure = async (upstream: RecordingUpstream) =>
    failureOf(raw.request(upstreamOf(upstream.url), callOf('echo'), modern));
  const sse = { 'content-type': 'text/event-stream' };

  it('tells of a minted session', async () => {
    const upstream = await answering((id) => ({ id, result: {} }), 200, {
      'content-type': 'application/json',
      'mcp-session-id': 's-1',
    });
    expect((await raw.request(upstreamOf(upstream.url), callOf('echo'), legacy)).sessionId).toBe('s-1');
  });

  it('is the response with our id, never a request of the upstream that has the same', async () => {
    const upstream = await answering(
      (id) =>
        `data: ${JSON.stringify({ jsonrpc: '2.0', id, method: 'sampling/createMessage', params: {} })}\n\ndata: ${JSON.stringify({ id, result: { ok: 1 } })}\n\n`,
      200,
      sse,
    );
    expect((await raw.request(upstreamOf(upstream.url), callOf('echo'), legacy)).result).toEqual({ ok: 1 });
  });

  it('may stand in a list', async () => {
    const upstream = await answering((id) => [
      { id: 0, result: {} },
      { id, result: { ok: 1 } },
    ]);
    expect((await raw.request(upstreamOf(upstream.url), callOf('echo'), legacy)).result).toEqual({ ok: 1 });
  });

  const error = (code: unknown) => (id: number) => ({
    jsonrpc: '2.0',
    id,
    error: { code, message: 'm', data: { a: 1 } },
  });
  const table: [string, (id: number) => unknown, number, object][] = [
    ['401', () => '<h1>no</h1>', 401, { kind: 'unauthorized', executed: 'no', status: 401 }],
    ['401 with a JSON-RPC error', error(-32_001), 401, { kind: 'unauthorized', executed: 'no' }],
    ['403', () => 'no', 403, { kind: 'forbidden', executed: 'no' }],
    ['404', () => 'Not Found', 404, { kind: 'wrong_era', executed: 'no' }],
    ['405', () => '', 405, { kind: 'wrong_era', executed: 'no' }],
    ['429', () => '', 429, { kind: 'rate_limited', executed: 'no', retryAfterMs: undefined }],
    ['400 with HTML', () => '<h1>', 400, { kind: 'broken', executed: 'unknown', status: 400 }],
    ['500', () => '', 500, { kind: 'broken', executed: 'unknown', status: 500 }],
    ['500 with a result', (id) => ({ id, result: { ok: 1 } }), 500, { kind: 'broken', executed: 'unknown' }],
    ['400 with -32020', error(-32_020), 400, { kind: 'wrong_era', executed: 'no', rpc: { code: -32_020 } }],
    ['400 with -32022', error(-32_022), 400, { kind: 'wrong_era', executed: 'no' }],
    [
      '404 with a JSON-RPC error',
      error(-32_601),
      404,
      { kind: 'rpc', executed: 'unknown', status: 404, rpc: { code: -32_601, message: 'm', data: { a: 1 } } },
    ],
    [
      'a JSON-RPC error',
      error(-32_602),
      200,
      { kind: 'rpc', executed: 'unknown', rpc: { code: -32_602, message: 'm', data: { a: 1 } } },
    ],
    ['an error without a code', error('x'), 200, { kind: 'rpc', rpc: { code: -32_603 } }],
    ['no result', (id) => ({ id }), 200, { kind: 'broken', executed: 'unknown' }],
    ['a result that is no object', (id) => ({ id, result: 'x' }), 200, { kind: 'broken' }],
    ['the id as text', (id) => ({ id: String(id), result: {} }), 200, { kind: 'broken' }],
    ['nothing', () => '', 202, { kind: 'broken', executed: 'unknown' }],
    ['null', () => null, 200, { kind: 'broken' }],
  ];
  it.each(table)('of %s is that failure', async (_, make, status, expected) => {
    expect(await failure(await answering(make, status))).toMatchObject(expected);
  });

  it.each([
    ['7', 7_000],
    ['0', 0],
    ['999999', 3_600_000],
    ['-1', undefined],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ])('that says Retry-After: %s is told so in milliseconds', async (value, expected) => {
    for (const status of [429, 503]) {
      const upstream = await answering(() => '', status, { 'retry-after': value });
      expect(await failure(upstream)).toMatchObject({
        kind: status === 429 ? 'rate_limited' : 'broken',
        retryAfterMs: expected,
      });
    }
  });

  it('is cut at 1,000 characters of its error text, and has none that is no text', async () => {
    const long = await answering((id) => ({ id, error: { code: 1, message: 'x'.repeat(5_000) } }));
    expect((await failure(long)).rpc?.message).toBe('x'.repeat(1_000));
    const odd = await answering((id) => ({ id, error: { code: 1, message: { a: 1 } } }));
    expect((await failure(odd)).rpc?.message).toBe('');
  });

  it('loses the secrets of the call before its error text is cut', async () => {
    const secret = 'sk-live-abcdef123456';
    const upstream = await answering((id) => ({
      id,
      error: { code: 1, message: `${'x'.repeat(990)}${secret}`, data: { [secret]: [secret] } },
    }));
    const target = upstreamOf(upstream.url, { secrets: { T: secret } });
    const { rpc } = await failureOf(raw.request(target, callOf('echo'), modern));
    expect(rpc?.message).toHaveLength(998);
    expect(JSON.stringify(rpc)).not.toMatch(/sk-live|abcdef/);
    expect(rpc?.data).toEqual({ '[secret]': ['[secret]'] });
  });
});

describe('an end before the answer', () => {
  let upstream: RecordingUpstream;
  beforeAll(async () => {
    upstream = await startRecordingUpstream({ modern: true });
  });
  afterAll(() => upstream.close());

  it('is a timeout or a cancellation, unknown once bytes have left', async () => {
    const controller = new AbortController();
    const cancelled = raw.request(upstreamOf(upstream.url), callOf('slow', { ms: 5_000 }, controller.signal), modern);
    await expect.poll(() => upstream.methods().get('tools/call')).toBe(1);
    controller.abort();
    expect(await failureOf(cancelled)).toMatchObject({ kind: 'cancelled', executed: 'unknown' });
    const late = raw.request(
      upstreamOf(upstream.url),
      callOf('slow', { ms: 5_000 }, AbortSignal.timeout(1_000)),
      modern,
    );
    expect(await failureOf(late)).toMatchObject({ kind: 'timeout', executed: 'unknown' });
    await expect.poll(() => upstream.aborted()).toBe(2);
  });

  it('is certain not to have run when it came before anything was sent', async () => {
    const before = upstream.methods().get('tools/call') ?? 0;
    expect(
      await failureOf(raw.request(upstreamOf(upstream.url), callOf('echo', {}, AbortSignal.abort()), modern)),
    ).toMatchObject({ kind: 'cancelled', executed: 'no' });
    expect(upstream.methods().get('tools/call') ?? 0).toBe(before);
    const gone = await startRecordingUpstream();
    await gone.close();
    expect(await failureOf(raw.request(upstreamOf(gone.url), callOf('echo'), modern))).toMatchObject({
      kind: 'unreachable',
      executed: 'no',
    });
  });
});
