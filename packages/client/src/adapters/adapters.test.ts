// What each adapter makes of a tool, of an answer and of a refusal. The loops of the frameworks themselves are in test/client.
import { ToolMessage } from '@langchain/core/messages';
import { describe, expect, it } from 'vitest';
import type { Adapter } from '../index.ts';
import { clientOf, rpcResult } from '../stand-in.test-support.ts';
import { aiSdk } from './ai-sdk.ts';
import { anthropic } from './anthropic.ts';
import { langchain } from './langchain.ts';
import { openai, openaiChat } from './openai.ts';
import { openaiAgents } from './openai-agents.ts';

const image = { type: 'image', data: 'aW1hZ2U=', mimeType: 'image/png' };
const said = { type: 'text', text: 'two' };
const found = { type: 'resource', resource: { uri: 'file:///a', text: 'inside' } };
const link = { type: 'resource_link', uri: 'file:///b', name: 'b' };

/** What the tool answers, by its argument `want`. */
const answers: Record<string, object> = {
  text: { content: [said, found, link] },
  image: { content: [said, image] },
  refusal: { content: [{ type: 'text', text: 'no' }], isError: true },
  data: { content: [], structuredContent: { n: 1 } },
};
const schema = { type: 'object', properties: { want: { type: 'string' } }, required: ['want'] };

async function toolsFor<T>(adapter: Adapter<T>): Promise<T> {
  const tools = [
    { name: 'demo.get', description: 'Gets', inputSchema: schema },
    { name: 'bare', title: 'Bare', inputSchema: { type: 'object' } },
  ];
  const { client } = await clientOf((seen, response) => {
    if (seen.json.method === 'tools/list') return rpcResult(seen, response, { tools });
    return rpcResult(seen, response, answers[seen.json.params.arguments.want] ?? {});
  });
  return client.forUser('alice').toolsFor(adapter);
}

const all = 'two\ninside\n[resource_link file:///b]';

describe('the AI SDK', () => {
  it('gets tools by name, with what the model is to see', async () => {
    const tools = await toolsFor(aiSdk);
    expect(Object.keys(tools)).toEqual(['demo_get', 'bare']);
    expect(tools['demo_get']).toMatchObject({
      type: 'dynamic',
      description: 'Gets',
      inputSchema: { jsonSchema: schema },
    });
    const run = async (want: string) => {
      const tool = tools['demo_get'];
      const options = { toolCallId: 'call_1', messages: [], context: {} };
      const output = await tool?.execute?.({ want }, options);
      return tool?.toModelOutput?.({ toolCallId: 'call_1', input: { want }, output });
    };
    expect(await run('text')).toEqual({ type: 'text', value: all });
    expect(await run('data')).toEqual({ type: 'text', value: '{"n":1}' });
    expect(await run('refusal')).toEqual({ type: 'error-text', value: 'no' });
    expect(await run('image')).toEqual({
      type: 'content',
      value: [
        { type: 'text', text: 'two' },
        { type: 'image-data', data: image.data, mediaType: 'image/png' },
      ],
    });
  });
});

describe('the Responses API', () => {
  it('gets function tools and outputs for its calls', async () => {
    const { tools, handle, handleAll } = await toolsFor(openai);
    expect(tools).toEqual([
      { type: 'function', name: 'demo_get', description: 'Gets', parameters: schema, strict: false },
      {
        type: 'function',
        name: 'bare',
        description: 'Bare',
        parameters: { type: 'object', properties: {} },
        strict: false,
      },
    ]);
    const item = (want: string, name = 'demo_get') => ({
      type: 'function_call' as const,
      call_id: `c-${want}`,
      name,
      arguments: JSON.stringify({ want }),
    });
    expect(await handle(item('text'))).toEqual({ type: 'function_call_output', call_id: 'c-text', output: all });
    expect((await handle(item('refusal'))).output).toBe('no');
    expect((await handle(item('image'))).output).toEqual([
      { type: 'input_text', text: 'two' },
      { type: 'input_image', image_url: 'data:image/png;base64,aW1hZ2U=', detail: 'auto' },
    ]);
    expect((await handle(item('text', 'nope'))).output).toBe('There is no such tool.');
    for (const wrong of ['{', '[]', 'null', '7'])
      expect((await handle({ ...item('text'), arguments: wrong })).output).toBe('The arguments are not a JSON object.');
    const outputs = await handleAll([
      { type: 'reasoning' },
      item('data'),
      item('text', 'of_the_program'),
      item('refusal'),
    ]);
    expect(outputs.map(({ call_id, output }) => [call_id, output])).toEqual([
      ['c-data', '{"n":1}'],
      ['c-refusal', 'no'],
    ]);
  });
});

describe('Chat Completions', () => {
  it('gets function tools and messages for its calls', async () => {
    const { tools, handleAll } = await toolsFor(openaiChat);
    expect(tools[0]).toEqual({
      type: 'function',
      function: { name: 'demo_get', description: 'Gets', parameters: schema },
    });
    const call = { id: 'c1', type: 'function', function: { name: 'demo_get', arguments: '{"want":"text"}' } };
    const other = { id: 'c2', type: 'custom', custom: {} };
    expect(await handleAll([call, other])).toEqual([{ role: 'tool', tool_call_id: 'c1', content: all }]);
    expect(await handleAll(undefined)).toEqual([]);
  });
});

describe("Anthropic's runner", () => {
  it('gets tools that run, and an error where the tool says no', async () => {
    const [tool] = await toolsFor(anthropic);
    expect(tool).toMatchObject({ type: 'custom', name: 'demo_get', description: 'Gets', input_schema: schema });
    expect(await tool?.run({ want: 'text' }, { toolUse: { id: 'call_1' } })).toBe(all);
    expect(await tool?.run({ want: 'image' })).toEqual([
      { type: 'text', text: 'two' },
      { type: 'image', source: { type: 'base64', data: image.data, media_type: 'image/png' } },
    ]);
    await expect(tool?.run({ want: 'refusal' })).rejects.toThrow(/^no$/);
    expect(() => tool?.parse('text')).toThrow('not an object');
  });
});

describe('the OpenAI Agents SDK', () => {
  it('gets an MCP server under a name that no other set of tools has', async () => {
    const [server, other] = [await toolsFor(openaiAgents), await toolsFor(openaiAgents)];
    expect(server.name).not.toBe(other.name);
    expect(server.cacheToolsList).toBe(false);
    await server.connect();
    expect(await server.listTools()).toEqual([
      { name: 'demo_get', description: 'Gets', inputSchema: { ...schema, additionalProperties: false } },
      { name: 'bare', inputSchema: { type: 'object', properties: {}, required: [], additionalProperties: false } },
    ]);
    expect(await server.callTool('demo_get', { want: 'text' })).toEqual([said, found, link]);
    expect(await server.callToolResult('demo_get', { want: 'refusal' })).toEqual(answers['refusal']);
    expect(await server.callToolResult('nope', null)).toMatchObject({ isError: true });
    await server.invalidateToolsCache();
    await server.close();
  });
});

describe('LangChain', () => {
  it('gets structured tools, and a message that says that it is an error', async () => {
    const [tool] = await toolsFor(langchain);
    expect(tool).toMatchObject({ name: 'demo_get', description: 'Gets', schema });
    const invoke = (want: string) =>
      tool?.invoke({ id: 'call_1', name: 'demo_get', args: { want }, type: 'tool_call' }) as Promise<ToolMessage>;
    const message = await invoke('text');
    expect(ToolMessage.isInstance(message)).toBe(true);
    expect([message.content, message.status, message.tool_call_id]).toEqual([all, 'success', 'call_1']);
    const refused = await invoke('refusal');
    expect([refused.content, refused.status, refused.tool_call_id]).toEqual(['no', 'error', 'call_1']);
    expect((await invoke('image')).content).toEqual([
      { type: 'text', text: 'two' },
      { type: 'image_url', image_url: { url: 'data:image/png;base64,aW1hZ2U=' } },
    ]);
    expect(await tool?.invoke({ want: 'refusal' })).toBe('no');
  });
});
