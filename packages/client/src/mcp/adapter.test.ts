// What a model gets to see of a call, under which idempotency key it runs, and under which name.
import { describe, expect, it } from 'vitest';
import type { Adapter, AdapterInput, ToolsForOptions } from '../index.ts';
import { clientOf, type Handler, json, reset, rpcResult, textResult } from '../stand-in.test-support.ts';

const plain: Adapter<AdapterInput> = { name: 'plain', build: (input) => input };

/** The tools of `alice` as an adapter gets them; calls are answered by the handler, which counts them from 1. */
async function toolsOf(answer: Handler, options: ToolsForOptions = {}, names = ['demo.echo']) {
  let calls = 0;
  const tools = names.map((name) => ({ name, inputSchema: { type: 'object' } }));
  const server = await clientOf((seen, response) =>
    seen.json.method === 'tools/list' ? rpcResult(seen, response, { tools }) : answer(seen, response, ++calls),
  );
  const input = await server.client.forUser('alice').toolsFor(plain, options);
  const [first] = input.tools;
  if (!first) throw new Error('There is no tool');
  const sent = () => server.seen.filter(({ json: body }) => body.method === 'tools/call');
  return { ...server, ...input, first, keys: () => sent().map(({ headers }) => headers['idempotency-key']) };
}

const refusal =
  (status: number, code: string, message: string, more: object = {}): Handler =>
  (seen, response) =>
    rpcResult(seen, response, {
      isError: true,
      content: [{ type: 'text', text: JSON.stringify({ error: message, code }) }],
      _meta: { 'mcp-valet/error': { code, requestId: 'r1', executed: 'no', retryable: false, status, ...more } },
    });

describe('what a model is told', () => {
  it('is what the tool says, also when it says no', async () => {
    const { call, first } = await toolsOf((s, r) => rpcResult(s, r, { ...textResult('bad input'), isError: true }));
    const result = await call(first, { a: 1 });
    expect([result.isError, result.text()]).toEqual([true, 'bad input']);
  });

  it('is why the gateway refuses', async () => {
    const { call, first } = await toolsOf(refusal(403, 'FORBIDDEN', 'The tool is blocked'));
    const result = await call(first, {});
    expect([result.isError, result.text()]).toEqual([true, 'The tool is blocked (FORBIDDEN).']);
  });

  const connect = { connect: { url: 'https://mcp.example.com/connect/secret', connector: 'slack' } };
  const missing = refusal(403, 'CREDENTIALS_REQUIRED', 'Connect first', connect);

  it('is that an account is missing, without the link, which the program hears of', async () => {
    const heard: (string | undefined)[] = [];
    const onCredentialRequired: ToolsForOptions['onCredentialRequired'] = ({ connectUrl }) =>
      void heard.push(connectUrl);
    const { call, first } = await toolsOf(missing, { onCredentialRequired });
    const result = await call(first, {});
    expect([result.isError, result.text()]).toEqual([true, 'The user has to connect an account for slack first.']);
    expect(heard).toEqual([connect.connect.url]);
  });

  it('is the link as well, where the caller wants that', async () => {
    const { call, first } = await toolsOf(missing, { connectLinks: 'to-model' });
    expect((await call(first, {})).text()).toContain(connect.connect.url);
  });

  it('is an error of the upstream, which it may mend', async () => {
    const error = { code: -32602, message: 'city is required' };
    const { call, first } = await toolsOf((s, r) => json(r, 200, { jsonrpc: '2.0', id: s.json.id, error }));
    expect((await call(first, {})).text()).toBe('city is required (RPC).');
  });

  it('is not to repeat what may have run, by an error that the program gets', async () => {
    const { call, first } = await toolsOf((_, response) => reset(response));
    await expect(call(first, {}, { toolCallId: 'call_1' })).rejects.toMatchObject({
      name: 'OutcomeUnknownError',
      message: expect.stringContaining('do not repeat this call') as string,
      idempotencyKey: expect.any(String) as string,
    });
  });

  it('is nothing of a wrong key or an abort: those are for the program', async () => {
    const { call, first } = await toolsOf((_, r) => json(r, 401, { error: { code: 'UNAUTHORIZED', message: 'no' } }));
    await expect(call(first, {})).rejects.toMatchObject({ name: 'AuthenticationError' });
    await expect(call(first, {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('the key of a tool call', () => {
  const ok: Handler = (s, r) => rpcResult(s, r, textResult('ok'));

  it('is a new one each time, however often an id is used', async () => {
    const { call, first, keys } = await toolsOf(ok);
    for (let turn = 0; turn < 3; turn++) await call(first, { same: true }, { toolCallId: 'call_1' });
    await Promise.all([1, 2].map(() => call(first, { same: true }, { toolCallId: 'call_1' })));
    expect(new Set(keys()).size).toBe(5);
  });

  it('is the old one, once, after a call that may have run', async () => {
    const { call, first, keys } = await toolsOf((s, r, count) => (count === 1 ? reset(r) : ok(s, r, count)));
    const again = (toolCallId: string, args: object) => call(first, args, { toolCallId });
    await expect(again('call_1', { a: 1, b: 2 })).rejects.toMatchObject({ name: 'OutcomeUnknownError' });
    await again('call_2', { a: 1, b: 2 });
    await again('call_1', { a: 2, b: 2 });
    await again('call_1', { b: 2, a: 1 });
    await again('call_1', { a: 1, b: 2 });
    const [lost, otherId, otherArgs, same, later] = keys();
    expect(same).toBe(lost);
    expect(new Set([lost, otherId, otherArgs, later]).size).toBe(4);
  });

  it('is the same in another process for the same call of a run, and another for any other', async () => {
    const keyOf = async (runId: string, toolCallId: string, args: object) => {
      const { keys, call, first } = await toolsOf(ok, { runId });
      await call(first, args, { toolCallId });
      return keys()[0];
    };
    const known = await keyOf('run-1', 'call_1', { a: 1, b: { c: [1, 2] } });
    expect(known).toMatch(/^[0-9a-f]{64}$/);
    expect(await keyOf('run-1', 'call_1', { b: { c: [1, 2] }, a: 1 })).toBe(known);
    const others = [
      await keyOf('run-2', 'call_1', { a: 1, b: { c: [1, 2] } }),
      await keyOf('run-1', 'call_2', { a: 1, b: { c: [1, 2] } }),
      await keyOf('run-1', 'call_1', { a: 1, b: { c: [2, 1] } }),
    ];
    expect(new Set([known, ...others]).size).toBe(4);
  });
});

describe('the name for a model', () => {
  it('has only what every model accepts, and is the same each time', async () => {
    const long = `demo__${'x'.repeat(80)}`;
    const { tools } = await toolsOf(() => undefined, {}, ['demo.echo', 'a__b-c', long]);
    expect(tools.map(({ modelName }) => modelName)).toEqual([
      'demo_echo',
      'a__b-c',
      expect.stringMatching(/^demo__x{49}_[0-9a-f]{8}$/),
    ]);
    for (const { modelName } of tools) expect(modelName).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
    const again = await toolsOf(() => undefined, {}, [long]);
    expect(again.first.modelName).toBe(tools[2]?.modelName);
  });

  it('is never the name of two tools', async () => {
    await expect(toolsOf(() => undefined, {}, ['a.b', 'a_b'])).rejects.toMatchObject({ name: 'ConfigError' });
    const { tools } = await toolsOf(() => undefined, { exclude: ['a.b'] }, ['a.b', 'a_b']);
    expect(tools).toHaveLength(1);
  });

  it('leads back to the tool', async () => {
    const { call, first, seen } = await toolsOf((s, r) => rpcResult(s, r, textResult('ok')));
    await call(first, { text: 'hi' });
    expect(seen.at(-1)?.json.params).toMatchObject({ name: 'demo.echo', arguments: { text: 'hi' } });
  });
});
