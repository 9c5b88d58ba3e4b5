// Options of an execution: a schema for the output, answers to what a tool asks, and stopping the tool with the caller.
import { inspect } from 'node:util';
import { describe, expect, expectTypeOf, it } from 'vitest';
import * as z from 'zod';
import {
  AbortError,
  ConfigError,
  type FailureEvent,
  InputRequiredError,
  OutcomeUnknownError,
  ResponseError,
  ValidationError,
} from './index.ts';
import { clientOf, json, reset, rpcResult, textResult } from './stand-in.test-support.ts';

const structured = (structuredContent: unknown) => ({ content: [], structuredContent });

describe('a schema of the output', () => {
  const schema = z.object({ ts: z.string(), at: z.coerce.date() });
  const at = '2026-11-21T00:00:00.000Z';

  it('types and replaces what the tool answered, as data or as text', async () => {
    for (const answer of [structured({ ts: '1', at }), textResult(JSON.stringify({ ts: '1', at }))]) {
      const { client } = await clientOf((seen, response) => rpcResult(seen, response, answer));
      const result = await client.forUser('alice').execute('slack__post', {}, { output: schema });
      expectTypeOf(result.structuredContent).toEqualTypeOf<{ ts: string; at: Date } | undefined>();
      expect(result.structuredContent).toEqual({ ts: '1', at: new Date(at) });
      expect(result.json().at).toEqual(new Date(at));
    }
  });

  it.each([
    ['data that does not fit', structured({ ts: 'canary-value', at: 'canary-value' }), 'OUTPUT_MISMATCH'],
    ['text that is no JSON', textResult('canary-value'), 'NOT_JSON'],
  ])('refuses %s, says that the tool has run, and repeats no value', async (_, answer, code) => {
    const told: FailureEvent[] = [];
    const hooks = { error: (event: FailureEvent) => void told.push(event) };
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, answer), { hooks });
    const call = client.executeForUser('alice', 't', {}, { output: schema });
    const error = await call.then(String, (thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ResponseError);
    expect(error).toMatchObject({ code, executed: 'yes', operation: 'execute', status: 200, attempts: 1 });
    expect(told).toMatchObject([{ operation: 'execute', name: 'ResponseError', code, executed: 'yes' }]);
    expect(inspect(error, { depth: 9 })).not.toContain('canary-value');
    expect(await (await call.raw()).text()).toContain('canary-value');
    expect(seen).toHaveLength(1);
  });

  it('leaves alone what a tool says when it says no', async () => {
    const { client } = await clientOf((seen, response) =>
      rpcResult(seen, response, { ...textResult('no'), isError: true }),
    );
    expect((await client.executeForUser('alice', 't', {}, { output: schema })).text()).toBe('no');
    await expect(client.executeForUser('alice', 't', {}, { throwOnToolError: true })).rejects.toMatchObject({
      name: 'ToolError',
      operation: 'execute',
      status: 200,
      attempts: 1,
      executed: 'yes',
      result: { isError: true },
    });
  });

  it('may be asynchronous, and fits the direct call too', async () => {
    const { client } = await clientOf((_, response) =>
      json(response, 200, { success: true, data: textResult('{"n":1}') }),
    );
    const output = z.object({ n: z.number() }).refine(async ({ n }) => n === 1);
    expect((await client.forUser('alice').runAction('c', 'a', {}, { output })).structuredContent).toEqual({ n: 1 });
  });
});

const question = { confirm: { method: 'elicitation/create', params: { message: 'canary-question' } } };
const asks = { resultType: 'input_required', inputRequests: question, requestState: 'state-1' };

describe('a tool that asks', () => {
  it('is answered by onInputRequired, and gets its arguments and its state again', async () => {
    const { client, seen } = await clientOf((each, response, count) =>
      rpcResult(each, response, count < 3 ? { ...asks, requestState: `state-${count}` } : textResult('done')),
    );
    const heard: unknown[] = [];
    const result = await client.forUser('alice').execute(
      't',
      { a: 1 },
      {
        onInputRequired: (requests) => {
          heard.push(requests);
          return { confirm: { action: 'accept', content: { ok: true } } };
        },
      },
    );
    expect(result.text()).toBe('done');
    expect(heard).toEqual([question, question]);
    const [first, second, third] = seen.map(({ json }) => json.params);
    expect(first).toMatchObject({ name: 't', arguments: { a: 1 } });
    expect(first._meta['io.modelcontextprotocol/clientCapabilities']).toEqual({ elicitation: { form: {} } });
    expect(first).not.toHaveProperty('inputResponses');
    const inputResponses = { confirm: { action: 'accept', content: { ok: true } } };
    expect(second).toMatchObject({ name: 't', arguments: { a: 1 }, requestState: 'state-1', inputResponses });
    expect(third).toMatchObject({ requestState: 'state-2', inputResponses });
    for (const { headers } of seen) {
      expect(headers).toMatchObject({
        'mcp-protocol-version': '2026-07-28',
        'mcp-method': 'tools/call',
        'mcp-name': 't',
      });
    }
  });

  it('throws InputRequiredError when nobody answers, which holds the questions and prints none', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, asks));
    const error = await client.executeForUser('alice', 't').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputRequiredError);
    expect(error).toMatchObject({ code: 'INPUT_REQUIRED', executed: 'no', requests: question });
    expect(inspect(error, { depth: 9 })).not.toContain('canary-question');
    expect(seen).toHaveLength(1);
    expect(seen[0]?.headers).not.toHaveProperty('mcp-protocol-version');
  });

  it('is not answered for ever', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, asks));
    const onInputRequired = () => ({});
    await expect(client.executeForUser('alice', 't', {}, { onInputRequired })).rejects.toThrowError(InputRequiredError);
    expect(seen).toHaveLength(20);
  });

  it('ends at once when the caller gives up while somebody is asked', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, asks));
    const controller = new AbortController();
    const call = client.executeForUser(
      'alice',
      't',
      {},
      {
        signal: controller.signal,
        onInputRequired: () => {
          controller.abort();
          return new Promise(() => undefined);
        },
      },
    );
    await expect(call).rejects.toThrowError(AbortError);
    expect(seen).toHaveLength(1);
  });

  it('passes on what the handler throws, and refuses what is no answer', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, asks));
    const run = (onInputRequired: () => never) => client.executeForUser('alice', 't', {}, { onInputRequired });
    await expect(
      run(() => {
        throw new RangeError('mine');
      }),
    ).rejects.toThrowError(RangeError);
    await expect(run((() => 'yes') as never)).rejects.toThrowError(ValidationError);
    expect(seen).toHaveLength(2);
  });

  it('cannot be answered or cancelled on the direct call, and that is said', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, asks));
    for (const options of [{ onInputRequired: () => ({}) }, { cancelOnAbort: true }]) {
      await expect(client.forUser('alice').runAction('c', 'a', {}, options)).rejects.toThrowError(ConfigError);
    }
    expect(seen).toEqual([]);
  });
});

describe('cancelOnAbort', () => {
  it('closes the connection of a call that was sent in the form in which that stops it', async () => {
    const controller = new AbortController();
    const closed = new Promise<void>((resolve) => {
      void (async () => {
        const { client } = await clientOf((seen, response) => {
          expect(seen.headers['mcp-protocol-version']).toBe('2026-07-28');
          expect(seen.json.params._meta['io.modelcontextprotocol/clientCapabilities']).toEqual({});
          response.on('close', resolve);
          controller.abort();
        });
        const call = client.executeForUser('alice', 't', {}, { cancelOnAbort: true, signal: controller.signal });
        await expect(call).rejects.toMatchObject({ name: 'AbortError', executed: 'unknown' });
      })();
    });
    await closed;
  });

  it('is for every call when the client says so, and one call may say otherwise', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, textResult('ok')), {
      cancelOnAbort: true,
    });
    await client.executeForUser('alice', 't');
    await client.executeForUser('alice', 't', {}, { cancelOnAbort: false });
    expect(seen.map((each) => each.headers['mcp-protocol-version'])).toEqual(['2026-07-28', undefined]);
  });

  it('never repeats a call whose connection was lost, whatever the server promises', async () => {
    const { client, seen } = await clientOf((each, response, count) =>
      count === 1
        ? rpcResult(each, response, textResult('ok'), { 'valet-idempotency': 'ttl=86400, epoch="e1", durable' })
        : reset(response),
    );
    await client.executeForUser('alice', 't');
    const call = client.executeForUser('alice', 't', {}, { cancelOnAbort: true });
    await expect(call).rejects.toThrowError(OutcomeUnknownError);
    expect(seen).toHaveLength(2);
  });

  it('sends names that no header can hold in base64', async () => {
    const { client, seen } = await clientOf((each, response) => rpcResult(each, response, textResult('ok')));
    for (const name of ['grüße', '=?base64?eA==?=', ' x']) {
      await client.executeForUser('alice', name, {}, { cancelOnAbort: true });
      const [, encoded = ''] = /^=\?base64\?(.*)\?=$/.exec(String(seen.at(-1)?.headers['mcp-name'])) ?? [];
      expect(Buffer.from(encoded, 'base64').toString()).toBe(name);
    }
  });
});
