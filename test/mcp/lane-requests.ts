// The requests of the differential test: era x method x target x rights x credential state, and what clients get wrong.
// Data only: must not send anything or know a lane.

export type Target = 'direct' | 'connectivity' | 'narrow';

export interface LaneRequest {
  readonly name: string;
  readonly target: Target;
  readonly user: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON, or text to be sent as it is; a function gets the decoded answer of the request before. */
  readonly body: unknown;
}

/** `undefined`: nobody is named, the key's own user. */
export const users = [undefined, 'connected', 'stale', 'unconnected', 'blocked', 'disabled', 'nobody-knows'] as const;

const version = '2026-07-28';
const prefix = 'io.modelcontextprotocol/';
const client = { name: 'lanes', version: '1' };

export const envelope = (capabilities: Record<string, unknown> = {}): Record<string, unknown> => ({
  [`${prefix}protocolVersion`]: version,
  [`${prefix}clientInfo`]: client,
  [`${prefix}clientCapabilities`]: capabilities,
});

type Params = Record<string, unknown>;
const named: Record<string, string> = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' };

export function modern(
  target: Target,
  user: string | undefined,
  method: string,
  params: Params = {},
  capabilities: Params = {},
): LaneRequest {
  const name = params[named[method] ?? ''];
  return {
    name: `M ${target} ${user ?? '(self)'} ${method} ${typeof name === 'string' ? name : ''}`,
    target,
    user,
    headers: {
      'mcp-protocol-version': version,
      'mcp-method': method,
      ...(typeof name === 'string' && { 'mcp-name': name }),
    },
    body: { jsonrpc: '2.0', id: 'call-1', method, params: { ...params, _meta: envelope(capabilities) } },
  };
}

export function legacy(target: Target, user: string | undefined, method: string, params: Params = {}): LaneRequest {
  return {
    name: `L ${target} ${user ?? '(self)'} ${method} ${JSON.stringify(params['name'] ?? params['uri'] ?? '')}`,
    target,
    user,
    headers: method === 'initialize' ? {} : { 'mcp-protocol-version': '2025-11-25' },
    body: { jsonrpc: '2.0', id: 0, method, params },
  };
}

const reads: readonly (readonly [string, Params?])[] = [
  ['tools/list'],
  ['prompts/list'],
  ['resources/list'],
  ['resources/templates/list'],
  ['tools/list', { cursor: 'not-a-cursor' }],
];
const calls: readonly (readonly [string, Params])[] = [
  ['tools/call', { name: 'open__test_simple_text', arguments: {} }],
  ['tools/call', { name: 'keyed__test_simple_text', arguments: {} }],
  ['tools/call', { name: 'old__test_error_handling' }],
  ['prompts/get', { name: 'open__test_prompt_with_arguments', arguments: { arg1: 'a', arg2: 'b' } }],
  ['resources/read', { uri: 'keyed+test://static-text' }],
  [
    'completion/complete',
    { ref: { type: 'ref/prompt', name: 'open__test_prompt_with_arguments' }, argument: { name: 'arg1', value: 'p' } },
  ],
];
const more: readonly (readonly [string, Params])[] = [
  ['tools/call', { name: 'open__json_schema_2020_12_tool', arguments: { name: 'x', address: { city: 'y' } } }],
  ['tools/call', { name: 'open__test_embedded_resource', arguments: {} }],
  ['tools/call', { name: 'open__no_such_tool', arguments: {} }],
  ['tools/call', { name: 'down__anything', arguments: {} }],
  ['tools/call', { name: 'unknown', arguments: {} }],
  ['tools/call', { name: 7 }],
  ['tools/call', { name: 'open__test_simple_text', arguments: [] }],
  ['tools/call', { name: 'open__test_elicitation', arguments: { message: 'm' } }],
  ['tools/call', { name: 'old__test_elicitation', arguments: { message: 'm' } }],
  ['prompts/get', { name: 'unknown' }],
  ['prompts/get', { name: 'open__test_prompt_with_arguments', arguments: {} }],
  ['resources/read', { uri: 'open+test://nothing-here' }],
  ['resources/read', { uri: 'nothing://here' }],
  ['resources/read', {}],
  [
    'completion/complete',
    { ref: { type: 'ref/resource', uri: 'open+test://template/{id}/data' }, argument: { name: 'id', value: '1' } },
  ],
  ['completion/complete', { ref: { type: 'other' }, argument: {} }],
  ['completion/complete', {}],
  ['tools/call', { name: 'list_connectors_alloy', arguments: {} }],
  ['logging/setLevel', { level: 'info' }],
  ['resources/subscribe', { uri: 'open+test://watched-resource' }],
  ['no/such/method', {}],
];
const meta: readonly Params[] = [
  { name: 'list_connectors_alloy', arguments: {} },
  { name: 'get_connector_resources_alloy', arguments: { connectorId: 'open' } },
  { name: 'get_action_details_alloy', arguments: { connectorId: 'open', actionId: 'test_simple_text' } },
  { name: 'execute_action_alloy', arguments: { connectorId: 'keyed', actionId: 'test_simple_text', parameters: {} } },
  { name: 'execute_action_alloy', arguments: { connectorId: 'keyed' } },
  { name: 'get_credentials_alloy', arguments: {} },
  { name: 'discover_action_path_alloy', arguments: { goal: 'simple text' } },
];

const initialize: Params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: client };

function malformed(): LaneRequest[] {
  const base = modern('direct', undefined, 'tools/call', { name: 'open__test_simple_text', arguments: {} });
  const with_ = (name: string, headers: Record<string, string>, body: unknown = base.body): LaneRequest => ({
    ...base,
    name: `malformed ${name}`,
    headers,
    body,
  });
  const call = base.body as Record<string, unknown>;
  const plain = legacy('direct', undefined, 'tools/list').body as Record<string, unknown>;
  const { 'mcp-name': _, ...withoutName } = base.headers;
  const { 'mcp-method': __, ...withoutMethod } = base.headers;
  return [
    with_('no Mcp-Name', withoutName),
    with_('no Mcp-Method', withoutMethod),
    with_('no version header', { 'mcp-method': 'tools/call', 'mcp-name': 'open__test_simple_text' }),
    with_('other Mcp-Name', { ...base.headers, 'mcp-name': 'another' }),
    with_('other Mcp-Method', { ...base.headers, 'mcp-method': 'tools/list' }),
    with_('bad sentinel', { ...base.headers, 'mcp-name': '=?base64?%%?=' }),
    with_('encoded Mcp-Name', {
      ...base.headers,
      'mcp-name': `=?base64?${Buffer.from('open__test_simple_text').toString('base64')}?=`,
    }),
    with_('envelope without capabilities', base.headers, {
      ...call,
      params: { name: 'x', _meta: { [`${prefix}protocolVersion`]: version } },
    }),
    with_('unknown version', base.headers, {
      ...call,
      params: { name: 'x', _meta: { ...envelope(), [`${prefix}protocolVersion`]: '2099-01-01' } },
    }),
    with_('legacy initialize in an envelope', base.headers, { ...call, method: 'initialize' }),
    with_('header of neither era', { 'mcp-protocol-version': '1999-01-01' }, plain),
    with_('id null', {}, { ...plain, id: null }),
    with_('fractional id', {}, { ...plain, id: 1.5 }),
    with_('wrong jsonrpc', {}, { ...plain, jsonrpc: '1.0' }),
    with_('params as array', {}, { ...plain, params: [] }),
    with_('not JSON', {}, '{"jsonrpc":'),
    with_('empty body', {}, ''),
    with_('response without session', {}, { jsonrpc: '2.0', id: 1, result: {} }),
    with_('notification', {}, { jsonrpc: '2.0', method: 'notifications/initialized' }),
    with_('batch of another revision', { 'mcp-protocol-version': '2025-11-25' }, [plain]),
    with_('Accept without event-stream', { ...base.headers, accept: 'application/json' }),
    with_('media type', { ...base.headers, 'content-type': 'text/plain' }),
    with_('bad idempotency key', { ...base.headers, 'idempotency-key': 'has space' }),
    with_(
      'initialize without clientInfo',
      {},
      { ...plain, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {} } },
    ),
    with_(
      'initialize of an unknown revision',
      {},
      { ...plain, method: 'initialize', params: { ...initialize, protocolVersion: '2030-01-01' } },
    ),
    with_(
      'listed parameter header missing',
      { ...base.headers, 'mcp-name': 'open__test_x_mcp_header' },
      {
        ...call,
        params: { name: 'open__test_x_mcp_header', arguments: { region: 'eu' }, _meta: envelope() },
      },
    ),
    with_(
      'parameter header',
      { ...base.headers, 'mcp-name': 'open__test_x_mcp_header', 'mcp-param-region': 'eu' },
      {
        ...call,
        params: { name: 'open__test_x_mcp_header', arguments: { region: 'eu' }, _meta: envelope() },
      },
    ),
  ];
}

/** A question and its answer: the sealed state of the first goes into the second. */
function interactive(): LaneRequest[] {
  const tool = 'open__test_input_required_result_request_state';
  const can = { elicitation: { form: {} } };
  const first = modern('direct', undefined, 'tools/call', { name: tool, arguments: {} }, can);
  const retry = (name: string, change: (state: string) => unknown): LaneRequest => ({
    ...first,
    name,
    body: (before: unknown) => {
      const { requestState } = (before as { result: { requestState: string } }).result;
      const params = {
        name: tool,
        arguments: {},
        inputResponses: { confirm: { action: 'accept', content: { ok: true } } },
        requestState: change(requestState),
      };
      return { jsonrpc: '2.0', id: 'call-2', method: 'tools/call', params: { ...params, _meta: envelope(can) } };
    },
  });
  return [
    first,
    retry('M retry with the sealed state', (state) => state),
    { ...first, name: 'M question again' },
    retry('M retry with a foreign state', (state) => `${state.slice(0, -4)}AAAA`),
    modern('direct', undefined, 'tools/call', { name: 'open__test_missing_capability', arguments: {} }),
    modern(
      'direct',
      undefined,
      'tools/call',
      { name: 'old__test_sampling', arguments: { prompt: 'p' } },
      { sampling: {} },
    ),
  ];
}

/** An idempotent call, its replay, and the same key for something else. */
function idempotent(): LaneRequest[] {
  const call = legacy('direct', 'connected', 'tools/call', { name: 'open__test_simple_text', arguments: {} });
  const other = legacy('direct', 'connected', 'tools/call', { name: 'open__test_image_content', arguments: {} });
  const key = { 'idempotency-key': 'lane-key-1' };
  return [
    { ...call, name: 'idempotent call', headers: { ...call.headers, ...key } },
    { ...call, name: 'idempotent replay', headers: { ...call.headers, ...key } },
    { ...other, name: 'idempotent mismatch', headers: { ...other.headers, ...key } },
  ];
}

export function laneRequests(): LaneRequest[] {
  const requests: LaneRequest[] = [];
  for (const make of [legacy, modern]) {
    for (const user of users) {
      for (const [method, params] of [...reads.slice(0, 1), ...calls])
        requests.push(make('direct', user, method, params));
      for (const params of meta.slice(0, 4)) requests.push(make('connectivity', user, 'tools/call', params));
    }
    for (const [method, params] of [...reads.slice(1), ...more])
      requests.push(make('direct', 'connected', method, params));
    for (const params of meta.slice(4)) requests.push(make('connectivity', 'connected', 'tools/call', params));
    for (const [method, params] of reads) requests.push(make('connectivity', 'connected', method, params));
    for (const [method, params] of [...reads.slice(0, 1), ...calls])
      requests.push(make('narrow', 'connected', method, params));
  }
  for (const target of ['direct', 'connectivity'] as const) {
    requests.push(
      legacy(target, undefined, 'ping'),
      legacy(target, undefined, 'initialize', initialize),
      legacy(target, 'disabled', 'initialize', initialize),
    );
    requests.push(modern(target, undefined, 'server/discover'), modern(target, 'disabled', 'server/discover'));
  }
  return [...requests, ...malformed(), ...interactive(), ...idempotent()];
}
