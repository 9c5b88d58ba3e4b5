// The checks that every MCP message passes: media type, Accept, the classification table of both eras, standard headers, methods.
import { envelopeKeys, modernVersion } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { checkAccept, checkMediaType, checkMethod, GateRefusal, readInbound } from './gate.ts';

type Headers = Record<string, string>;
const reader = (headers: Headers) => (name: string) => headers[name];

/** The outcome as text: `kind era`, or `status/code id`. */
function outcome(body: unknown, headers: Headers = {}): string {
  try {
    const inbound = readInbound(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), reader(headers));
    return `${inbound.kind} ${inbound.era}`;
  } catch (error) {
    if (error instanceof GateRefusal) return `${error.error.status}/${error.error.code} ${JSON.stringify(error.id)}`;
    throw error;
  }
}
function refusal(body: unknown, headers: Headers = {}): GateRefusal {
  try {
    readInbound(Buffer.from(JSON.stringify(body)), reader(headers));
  } catch (error) {
    if (error instanceof GateRefusal) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

const envelope = {
  [envelopeKeys.protocolVersion]: modernVersion,
  [envelopeKeys.clientInfo]: { name: 't', version: '1' },
  [envelopeKeys.clientCapabilities]: {},
};
const legacy = (method: string, params?: unknown, more: object = {}) => ({
  jsonrpc: '2.0',
  id: 1,
  method,
  ...(params !== undefined && { params }),
  ...more,
});
const modern = (method: string, params: object = {}, meta: object = {}) =>
  legacy(method, { ...params, _meta: { ...envelope, ...meta } });
const standard = (method: string, name?: string): Headers => ({
  'mcp-protocol-version': modernVersion,
  'mcp-method': method,
  ...(name !== undefined && { 'mcp-name': name }),
});
const init = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } };

describe('the media type', () => {
  it.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON', ' application/json ;v=1'])(
    'passes: "%s"',
    (type) => {
      expect(() => checkMediaType(reader({ 'content-type': type }))).not.toThrow();
    },
  );
  it.each([
    '',
    'text/plain',
    'application/jsonp',
    'application/json-rpc',
    'text/json',
    'application/x-www-form-urlencoded',
    'text/plain; application/json',
    'application/json, text/plain',
  ])('is 415: "%s"', (type) => {
    expect(() => checkMediaType(reader({ 'content-type': type }))).toThrow(GateRefusal);
  });
  it('is 415 when it is absent', () => {
    expect(() => checkMediaType(reader({}))).toThrow('Content-Type must be application/json');
  });
});

describe('Accept', () => {
  it.each([
    undefined,
    '',
    '  ',
    '*/*',
    'application/json, text/event-stream',
    'application/json,text/event-stream',
    'text/event-stream , application/json',
    'TEXT/Event-Stream;q=0.1, Application/JSON ; q=1 ; v=2',
    'application/*, text/*',
    'application/json, text/*;q=0.5',
    'text/html, */*;q=0.1',
    'application/json, */*',
  ])('passes: %j', (accept) => {
    expect(checkAccept(accept)).toBeUndefined();
  });

  it.each([
    'application/json',
    'text/event-stream',
    'text/html',
    'application/*',
    'application/json;q=0, text/event-stream',
    'application/json, text/event-stream;q=0',
    'application/json;q=0.000, */*',
    '*/*;q=0',
    'text/*;q=0, */*',
    'application/json text/event-stream',
    'application/jsonx, text/event-stream',
  ])('is 406 when it leaves one out: %j', (accept) => {
    expect(checkAccept(accept)).toMatchObject({ status: 406, code: 406, data: { code: 'NOT_ACCEPTABLE' } });
  });

  it('is looked at after the JSON, so that the answer has the id', () => {
    expect(outcome(legacy('ping', undefined, { id: 0 }), { accept: 'text/html' })).toBe('406/406 0');
    expect(outcome('{', { accept: 'text/html' })).toBe('400/-32700 null');
    expect(checkAccept('text/event-stream', ['text/event-stream'])).toBeUndefined();
  });
});

describe('the classification of requests', () => {
  const toolsCall = modern('tools/call', { name: 'a' });
  const table: [string, unknown, Headers, string][] = [
    ['a modern request', toolsCall, standard('tools/call', 'a'), 'request modern'],
    [
      'a modern request with a 2025 session header',
      toolsCall,
      { ...standard('tools/call', 'a'), 'mcp-session-id': 'x' },
      'request modern',
    ],
    [
      'an envelope without capabilities',
      legacy('tools/list', { _meta: { [envelopeKeys.protocolVersion]: modernVersion } }),
      standard('tools/list'),
      '400/-32602 1',
    ],
    [
      'an envelope of a wrong shape',
      modern('tools/list', {}, { [envelopeKeys.clientCapabilities]: 'x' }),
      standard('tools/list'),
      '400/-32602 1',
    ],
    [
      'an envelope whose version is no text',
      modern('tools/list', {}, { [envelopeKeys.protocolVersion]: 1 }),
      standard('tools/list'),
      '400/-32602 1',
    ],
    [
      'an unknown version in the body',
      modern('tools/list', {}, { [envelopeKeys.protocolVersion]: '2099-01-01' }),
      { ...standard('tools/list'), 'mcp-protocol-version': '2099-01-01' },
      '400/-32022 1',
    ],
    [
      'a 2025 version in an envelope',
      modern('tools/list', {}, { [envelopeKeys.protocolVersion]: '2025-11-25' }),
      { ...standard('tools/list'), 'mcp-protocol-version': '2025-11-25' },
      '400/-32022 1',
    ],
    [
      'an unknown version in the body and no header',
      modern('tools/list', {}, { [envelopeKeys.protocolVersion]: '1999-01-01' }),
      {},
      '400/-32022 1',
    ],
    ['a modern header without the key', legacy('tools/list'), standard('tools/list'), '400/-32602 1'],
    [
      'a modern header with other _meta',
      legacy('tools/list', { _meta: { progressToken: 1 } }),
      standard('tools/list'),
      '400/-32602 1',
    ],
    [
      'a header that names another version than the body',
      toolsCall,
      { ...standard('tools/call', 'a'), 'mcp-protocol-version': '2025-11-25' },
      '400/-32020 1',
    ],
    ['a header that names another method than the body', toolsCall, standard('tools/list', 'a'), '400/-32020 1'],
    ['initialize', legacy('initialize', init), {}, 'request legacy'],
    [
      'initialize with an unknown revision',
      legacy('initialize', { ...init, protocolVersion: '1999-01-01' }),
      {},
      'request legacy',
    ],
    ['initialize with a modern header', legacy('initialize', init), standard('initialize'), '400/-32020 1'],
    ['initialize in a modern envelope', modern('initialize', init), standard('initialize'), '404/-32601 1'],
    ['ping in a modern envelope', modern('ping'), standard('ping'), '404/-32601 1'],
    [
      'logging/setLevel in a modern envelope',
      modern('logging/setLevel', { level: 'info' }),
      standard('logging/setLevel'),
      '404/-32601 1',
    ],
    ['no key, no header', legacy('tools/list'), {}, 'request legacy'],
    ['no key, a 2025 header', legacy('tools/list'), { 'mcp-protocol-version': ' 2024-11-05\t' }, 'request legacy'],
    ['no key, a header of no era', legacy('tools/list'), { 'mcp-protocol-version': '1999-01-01' }, '400/-32600 1'],
    [
      'initialize with a header of no era',
      legacy('initialize', init),
      { 'mcp-protocol-version': '1999-01-01' },
      'request legacy',
    ],
    ['server/discover without an envelope', legacy('server/discover'), {}, '200/-32601 1'],
    ['an unknown method', legacy('tools/destroy'), {}, '200/-32601 1'],
    ['an unknown modern method', modern('tools/destroy'), standard('tools/destroy'), '404/-32601 1'],
    ['a method that every object has', modern('constructor'), standard('constructor'), '404/-32601 1'],
    ['a method named __proto__', modern('__proto__'), standard('__proto__'), '404/-32601 1'],
    ['params that are a list', legacy('tools/list', []), {}, '400/-32600 1'],
    ['params that are null', legacy('tools/list', null), {}, '400/-32600 1'],
  ];
  it.each(table)('%s', (_, body, headers, expected) => {
    expect(outcome(body, headers)).toBe(expected);
  });

  it('names what is supported and what was asked for', () => {
    const { error } = refusal(modern('tools/list', {}, { [envelopeKeys.protocolVersion]: '2025-06-18' }));
    expect(error.data).toEqual({ supported: [modernVersion], requested: '2025-06-18' });
    expect(
      refusal(legacy('tools/list', { _meta: { [envelopeKeys.protocolVersion]: modernVersion } })).message,
    ).toContain(envelopeKeys.clientCapabilities);
  });

  it('hands over id, method and params as sent', () => {
    const request = legacy('tools/call', { name: 'a', arguments: { b: 1 } }, { id: 'x' });
    expect(readInbound(Buffer.from(JSON.stringify(request)), () => undefined)).toEqual({
      kind: 'request',
      era: 'legacy',
      id: 'x',
      method: 'tools/call',
      params: { name: 'a', arguments: { b: 1 } },
      body: request,
    });
  });
});

describe('the classification of everything else', () => {
  const note = { jsonrpc: '2.0', method: 'notifications/initialized' };
  const table: [string, unknown, Headers, string][] = [
    ['a notification', note, {}, 'notification legacy'],
    ['a notification with a modern header', note, { 'mcp-protocol-version': modernVersion }, 'notification modern'],
    [
      'a notification with a modern key and no headers',
      { ...note, params: { _meta: envelope } },
      {},
      'notification modern',
    ],
    ['a result', { jsonrpc: '2.0', id: 1, result: {} }, {}, 'response legacy'],
    ['an error', { jsonrpc: '2.0', id: 1, error: { code: 1, message: 'x' } }, {}, 'response legacy'],
    ['a batch', [legacy('ping'), note], {}, 'batch legacy'],
    ['an empty batch', [], {}, '400/-32600 null'],
    ['a batch with a modern element', [legacy('ping'), modern('tools/list')], {}, '400/-32600 null'],
    ['a batch with nonsense', [legacy('ping'), 1], {}, '400/-32600 null'],
    ['an id that is null', legacy('ping', undefined, { id: null }), {}, '400/-32600 null'],
    ['an id that is a fraction', legacy('ping', undefined, { id: 1.5 }), {}, '400/-32600 null'],
    ['an id that is an object', legacy('ping', undefined, { id: {} }), {}, '400/-32600 null'],
    ['a wrong jsonrpc', { ...legacy('ping'), jsonrpc: '1.0' }, {}, '400/-32600 1'],
    ['no jsonrpc', { id: 1, method: 'ping' }, {}, '400/-32600 1'],
    ['no method', { jsonrpc: '2.0', id: 1 }, {}, '400/-32600 1'],
    ['a method that is no text', legacy(1 as never), {}, '400/-32600 1'],
    ['a text', '"ping"', {}, '400/-32600 null'],
    ['null', 'null', {}, '400/-32600 null'],
    ['no JSON', '{', {}, '400/-32700 null'],
    ['a NUL inside', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\u0000"}}', {}, '400/-32700 null'],
    ['too deep', '['.repeat(65) + ']'.repeat(65), {}, '400/-32700 null'],
  ];
  it.each(table)('%s', (_, body, headers, expected) => {
    expect(outcome(body, headers)).toBe(expected);
  });

  it.each([0, -5, '', 'a', 999_999])('echoes the id with its type: %j', (id) => {
    expect(refusal(legacy('tools/destroy', undefined, { id })).id).toBe(id);
  });
});

describe('the standard headers of a modern request', () => {
  const call = modern('tools/call', { name: 'grüße' });
  const base64 = (text: string) => `=?base64?${Buffer.from(text).toString('base64')}?=`;
  it.each([
    ['tools/call', { name: 'a' }, 'a'],
    ['prompts/get', { name: 'a' }, ' a\t'],
    ['resources/read', { uri: 'file:///a' }, base64('file:///a')],
    ['tools/call', { name: 'grüße' }, base64('grüße')],
  ])('agree: %s %j with Mcp-Name "%s"', (method, params, name) => {
    expect(outcome(modern(method, params), standard(method, name))).toBe('request modern');
  });

  it('are needed: version, method, and the name where the body has one', () => {
    const { 'mcp-protocol-version': _version, ...noVersion } = standard('tools/list');
    const { 'mcp-method': _method, ...noMethod } = standard('tools/list');
    expect(outcome(modern('tools/list'), noVersion)).toBe('400/-32020 1');
    expect(outcome(modern('tools/list'), noMethod)).toBe('400/-32020 1');
    for (const [method, params] of [
      ['tools/call', { name: 'a' }],
      ['prompts/get', { name: 'a' }],
      ['resources/read', { uri: 'u' }],
    ] as const) {
      expect(outcome(modern(method, params), standard(method))).toBe('400/-32020 1');
    }
    expect(outcome(modern('tools/list'), standard('tools/list'))).toBe('request modern');
    expect(outcome(modern('tools/call', { name: 1 }), standard('tools/call'))).toBe('request modern');
  });

  it.each([
    'GRÜSSE',
    'grüße',
    base64('Grüße'),
    base64('grüße '),
    '=?base64?Z3LDvMOfZQ?=',
    '=?base64?!!?=',
    '',
    'other',
  ])('disagree: Mcp-Name "%s"', (name) => {
    const sent = name === 'grüße' ? 'gr\u00c3\u00bc\u00c3\u009fe' : name;
    expect(outcome(call, standard('tools/call', sent))).toBe('400/-32020 1');
  });

  it('are not asked of the 2025 era', () => {
    expect(outcome(legacy('tools/call', { name: 'a' }), { 'mcp-method': 'other', 'mcp-name': 'b' })).toBe(
      'request legacy',
    );
  });
});

describe('the methods of an era', () => {
  it('are its own and no other', () => {
    expect(checkMethod('modern', 'subscriptions/listen')).toBeUndefined();
    expect(checkMethod('legacy', 'subscriptions/listen')).toMatchObject({ status: 200, code: -32601 });
    expect(checkMethod('legacy', 'resources/subscribe')).toBeUndefined();
    expect(checkMethod('modern', 'resources/subscribe')).toMatchObject({ status: 404, code: -32601 });
  });
});
