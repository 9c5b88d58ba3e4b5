// Generates MCP messages that are almost right or nonsense, for both eras of the protocol. Pure: fast-check arbitraries only.
import { envelopeKeys, metaTools } from '@mcp-valet/shared';
import * as fc from 'fast-check';
import * as z from 'zod/mini';
import { almost, nasty, nastyTexts } from './garbage.ts';

const methods = [
  'initialize',
  'ping',
  'tools/list',
  'tools/call',
  'prompts/list',
  'prompts/get',
  'resources/list',
  'resources/templates/list',
  'resources/read',
  'completion/complete',
  'logging/setLevel',
  'resources/subscribe',
  'resources/unsubscribe',
  'server/discover',
  'tasks/get',
  'sampling/createMessage',
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/made-up',
  'rpc.discover',
  ...nastyTexts.slice(0, 20),
];
const toolNames = [
  'demo__echo',
  'demo__whoami',
  'demo__add',
  'demo__fail',
  'demo__nothing',
  'echo',
  ...Object.keys(metaTools),
  ...nastyTexts.slice(0, 12),
];

const ids = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom<unknown>(1, 0, '1', 'x', -1, 999_999) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(
      null,
      1.5,
      true,
      [],
      {},
      '',
      2 ** 53,
      1e300,
      '\u0000',
      'a'.repeat(5_000),
      '__proto__',
    ),
  },
);

const modernMeta = {
  [envelopeKeys.protocolVersion]: '2026-07-28',
  [envelopeKeys.clientInfo]: { name: 'fuzz', version: '1' },
  [envelopeKeys.clientCapabilities]: { elicitation: {}, sampling: {}, roots: {} },
};
// No progress token and no log level: those ask for a stream, which the stream tests read.
const metas = fc.oneof(
  { weight: 5, arbitrary: fc.constant(undefined) },
  { weight: 3, arbitrary: fc.constant(modernMeta) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(
      { ...modernMeta, [envelopeKeys.clientCapabilities]: 1 },
      { [envelopeKeys.protocolVersion]: '2026-07-28' },
      { [envelopeKeys.protocolVersion]: '3000-01-01' },
      { [envelopeKeys.protocolVersion]: 7 },
      { ...modernMeta, traceparent: 'x'.repeat(300), 'example.com/k': { a: [1] } },
      { 'mcp-valet/idempotencyKey': 'same key' },
      { 'mcp-valet/idempotencyKey': 'k' },
      { 'mcp-valet/idempotencyKey': 7 },
      { 'mcp-valet/error': {}, 'mcp-valet/userFallback': { a: 1 } },
      [],
      'x',
      null,
    ),
  },
);

const metaArguments = fc
  .constantFrom(...Object.values(metaTools))
  .chain(({ input }) => almost(z.toJSONSchema(input, { io: 'input', unrepresentable: 'any' }) as object, 0));
const plainArguments = fc.oneof(
  fc.constantFrom<unknown>(
    {},
    { text: 'hello' },
    { a: 1, b: 2 },
    { message: 'no', code: -32602 },
    { message: 'no', code: 7 },
    undefined,
  ),
  nasty,
  fc.dictionary(fc.constantFrom('text', 'TOKEN', ...nastyTexts.slice(0, 20)), nasty, { maxKeys: 3 }),
);

const params = fc
  .record(
    {
      name: fc.oneof(fc.constantFrom<unknown>(...toolNames), nasty),
      arguments: fc.oneof({ weight: 3, arbitrary: metaArguments }, { weight: 3, arbitrary: plainArguments }),
      uri: fc.oneof(fc.constantFrom<unknown>('demo+file:///x', 'file:///x', ...nastyTexts), nasty),
      cursor: fc.oneof(fc.constantFrom<unknown>('x', '', 'AAAA', 'a'.repeat(3_000)), nasty),
      protocolVersion: fc.constantFrom<unknown>('2025-11-25', '2025-03-26', '2024-11-05', 'x', 1, null),
      // Interactive capabilities mint a session; a session is what the session tests are about.
      capabilities: fc.constantFrom<unknown>({}, { experimental: { a: 1 } }, [], 'x', undefined),
      clientInfo: fc.constantFrom<unknown>({ name: 'f', version: '1' }, {}, 'x', { name: '\ud800', version: [] }),
      ref: fc.oneof(
        fc.constantFrom<unknown>({ type: 'ref/prompt', name: 'demo__x' }, { type: 'ref/resource', uri: 'x' }),
        nasty,
      ),
      argument: fc.oneof(fc.constantFrom<unknown>({ name: 'a', value: 'b' }), nasty),
      requestState: fc.oneof(
        fc.constantFrom<unknown>('x', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'),
        nasty,
      ),
      inputResponses: nasty,
      level: fc.constantFrom<unknown>('debug', 'x', 1),
    },
    { requiredKeys: [] },
  )
  .chain((value) => metas.map((meta) => (meta === undefined ? value : { ...value, _meta: meta })));

const message = fc
  .tuple(fc.constantFrom(...methods), ids, fc.oneof({ weight: 8, arbitrary: params }, { weight: 1, arbitrary: nasty }))
  .map(([method, id, value]) => ({ jsonrpc: '2.0', id, method, params: value }));

/** One message, or what is none: responses, batches, wrong versions, missing and superfluous keys. */
export const messages: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 14, arbitrary: message },
  { weight: 2, arbitrary: message.map(({ id: _, ...notification }) => notification) },
  { weight: 1, arbitrary: fc.array(message, { maxLength: 4 }) },
  { weight: 1, arbitrary: ids.map((id) => ({ jsonrpc: '2.0', id, result: {} })) },
  { weight: 1, arbitrary: ids.map((id) => ({ jsonrpc: '2.0', id, error: { code: 1, message: 'x' } })) },
  {
    weight: 1,
    arbitrary: message.chain((it) =>
      fc.constantFrom(
        { ...it, jsonrpc: '1.0' },
        { ...it, jsonrpc: 2 },
        { ...it, result: {} },
        { ...it, method: 7 },
        { ...it, method: null },
        { method: it.method, id: it.id },
      ),
    ),
  },
  { weight: 1, arbitrary: nasty },
);

/** Requests of 2026-07-28 with the headers that their bodies demand: what is wrong with them stands in the parameters. */
export const modernRequests: fc.Arbitrary<{ body: Buffer; headers: string[] }> = fc
  .tuple(
    fc.constantFrom(
      'server/discover',
      'tools/list',
      'tools/call',
      'prompts/get',
      'resources/read',
      'prompts/list',
      'completion/complete',
    ),
    params,
    fc.constantFrom(...toolNames.slice(0, 13)),
  )
  .map(([method, value, name]) => {
    const headers = ['mcp-protocol-version', '2026-07-28', 'mcp-method', method];
    const isNamed = method === 'tools/call' || method === 'prompts/get';
    const uri = 'demo+file:///x';
    if (isNamed || method === 'resources/read') headers.push('mcp-name', isNamed ? name : uri);
    const sent = { ...value, ...(isNamed && { name }), ...(method === 'resources/read' && { uri }), _meta: modernMeta };
    return { body: Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: sent })), headers };
  });
