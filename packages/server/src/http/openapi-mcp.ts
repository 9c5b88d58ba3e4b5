// The MCP endpoints in the OpenAPI document: they speak JSON-RPC, so their methods are the protocol's and not ours to describe. Pure.
type Json = Record<string, unknown>;
type Ref = (kind: string, name: string) => Json;

const message = {
  type: 'object',
  properties: {
    jsonrpc: { const: '2.0' },
    id: { type: ['string', 'integer'] },
    method: { type: 'string', examples: ['initialize', 'tools/list', 'tools/call'] },
    params: { type: 'object' },
  },
  required: ['jsonrpc'],
};
const answer = {
  type: 'object',
  properties: {
    jsonrpc: { const: '2.0' },
    id: { type: ['string', 'integer', 'null'] },
    result: { type: 'object' },
    error: {
      type: 'object',
      properties: { code: { type: 'integer' }, message: { type: 'string' }, data: {} },
      required: ['code', 'message'],
    },
  },
  required: ['jsonrpc'],
};

const header = (name: string, description: string): Json => ({
  name,
  in: 'header',
  required: false,
  description,
  schema: { type: 'string' },
});
const inPath = (name: string): Json => ({ name, in: 'path', required: true, schema: { type: 'string' } });
const json = (schema: Json): Json => ({ 'application/json': { schema } });

const refusals: Readonly<Record<string, string>> = {
  400: 'Malformed: JSON, JSON-RPC, protocol version, or two identities',
  401: 'Missing, invalid, expired or revoked credential',
  403: 'The credential, the origin or the user is refused',
  404: 'No such server or session',
  405: 'GET and DELETE need a session',
  406: 'Accept leaves out application/json or text/event-stream',
  413: 'The body is over the limit',
  415: 'The body is not application/json',
  429: 'Over the limit of the effective user',
  503: 'The gateway cannot serve now',
};

function operation(
  ref: Ref,
  options: { id: string; summary: string; path: Json[]; isOpen: boolean; body: boolean; ok: Json },
): Json {
  const errors = Object.entries(refusals).map(([status, description]) => [
    status,
    {
      description,
      ...((status === '429' || status === '503') && { headers: { 'Retry-After': ref('headers', 'RetryAfter') } }),
      content: json(answer),
    },
  ]);
  return {
    operationId: options.id,
    tags: ['mcp'],
    summary: options.summary,
    ...(options.isOpen && { security: [] }),
    parameters: [
      ...options.path,
      ref('parameters', 'User'),
      ref('parameters', 'RequestId'),
      header('MCP-Protocol-Version', 'Protocol revision'),
      header('Mcp-Session-Id', 'Session of a client that negotiated one'),
      header('x-credential-id', 'Use this credential of the user instead of the default one'),
      header('x-valet-strict-user', '`true`: an unknown user is refused even where the server falls back'),
    ],
    ...(options.body && { requestBody: { required: true, content: json(message) } }),
    responses: {
      200: options.ok,
      ...(options.body && { 202: { description: 'Notification accepted' } }),
      ...Object.fromEntries(errors),
    },
  };
}

const places = [
  {
    path: '/mcp',
    id: 'aggregate',
    what: 'every connector that the user may reach',
    parameters: [] as Json[],
    isOpen: false,
  },
  {
    path: '/mcp/{serverId}',
    id: 'server',
    what: 'a server, with an API key',
    parameters: [inPath('serverId')],
    isOpen: false,
  },
  {
    path: '/mcp/{serverId}/{accessToken}',
    id: 'serverUrl',
    what: 'a server, with the token of its URL',
    parameters: [inPath('serverId'), inPath('accessToken')],
    isOpen: true,
  },
];

export function mcpPaths(ref: Ref): Record<string, Json> {
  const stream = {
    description: 'Messages from the gateway',
    content: { 'text/event-stream': { schema: { type: 'string' } } },
  };
  const reply = {
    description: 'The answer, as JSON or as a stream that ends with it',
    content: { ...json(answer), ...stream.content },
  };
  return Object.fromEntries(
    places.map(({ path, id, what, parameters, isOpen }) => {
      const common = { path: parameters, isOpen };
      return [
        path,
        {
          post: operation(ref, {
            ...common,
            id: `mcp_${id}_post`,
            summary: `MCP endpoint of ${what}`,
            body: true,
            ok: reply,
          }),
          get: operation(ref, {
            ...common,
            id: `mcp_${id}_get`,
            summary: 'Stream of a session',
            body: false,
            ok: stream,
          }),
          delete: operation(ref, {
            ...common,
            id: `mcp_${id}_delete`,
            summary: 'End a session',
            body: false,
            ok: { description: 'Ended' },
          }),
        },
      ];
    }),
  );
}
