// Names that cross the wire on MCP endpoints: headers, own _meta keys, limits. Values only.

/** Request headers, lower-cased. */
export const headers = {
  user: 'x-alloy-userid',
  userToken: 'x-alloy-user-token',
  credential: 'x-credential-id',
  redirectUri: 'x-redirect-uri',
  server: 'x-mcp-server-id',
  strictUser: 'x-valet-strict-user',
  /** Beside the dashboard's cookie: no form and no foreign page can send it. */
  session: 'x-valet-session',
  idempotencyKey: 'idempotency-key',
  requestId: 'x-request-id',
  userFallback: 'x-valet-user-fallback',
  /** Of a reply: keys are honoured, for how long, and in which segment of the journal. Of a re-send: in which segment it was first sent. */
  idempotency: 'valet-idempotency',
  idempotencyEpoch: 'valet-idempotency-epoch',
  replayed: 'idempotent-replayed',
  /** Of a replay: what the first answer showed once and this one does not. */
  leftOut: 'valet-left-out',
  shouldRetry: 'x-should-retry',
} as const;

/** Own keys in `_meta`. */
export const metaKeys = {
  error: 'mcp-valet/error',
  userFallback: 'mcp-valet/userFallback',
  unavailable: 'mcp-valet/unavailable',
  idempotencyKey: 'mcp-valet/idempotencyKey',
  fullResult: 'mcp-valet/fullResult',
  replayed: 'mcp-valet/replayed',
} as const;

/** What `_meta["mcp-valet/error"]` and the `data` of our JSON-RPC errors carry: the gateway speaking, not the tool. */
export interface GatewayErrorData {
  code: string;
  requestId: string;
  executed: 'no' | 'unknown' | 'yes';
  retryable: boolean;
  retryAfterMs?: number;
  connect?: { url: string; connector: string; credentialId?: string; expiresAt: string };
  /** Of INSUFFICIENT_SCOPE: what the tool demands, and what of it the caller lacks. */
  requiredScopes?: string[];
  missingScopes?: string[];
}

/** What a fallback answer says in `_meta["mcp-valet/userFallback"]` and in its first text block. */
export interface UserFallback {
  warning: 'Invalid x-alloy-userid header';
  attempted: string;
  fallback: string;
}

export const modernVersion = '2026-07-28';
export const legacyVersions = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'] as const;

/** Defaults of the limits; the gateway's configuration may change most of them. */
export const limits = {
  callsPerMinute: 100,
  listsPerMinute: 1000,
  managementPerMinute: 600,
  callsInFlight: 10,
  mcpBodyBytes: 10 * 1024 * 1024,
  bodyBytes: 1024 * 1024,
  resultBytes: 10 * 1024 * 1024,
  jsonDepth: 64,
  mcpJsonNodes: 200_000,
  jsonNodes: 50_000,
  callTimeoutMs: 30_000,
  maxCallTimeoutMs: 300_000,
  userHeaderBytes: 128,
  storedAnswerBytes: 64 * 1024,
  /** How long an idempotency key is kept. */
  idempotencySeconds: 86_400,
} as const;

/** Reserved `_meta` keys of MCP revision 2026-07-28. */
export const envelopeKeys = {
  protocolVersion: 'io.modelcontextprotocol/protocolVersion',
  clientInfo: 'io.modelcontextprotocol/clientInfo',
  clientCapabilities: 'io.modelcontextprotocol/clientCapabilities',
  serverInfo: 'io.modelcontextprotocol/serverInfo',
  logLevel: 'io.modelcontextprotocol/logLevel',
  subscriptionId: 'io.modelcontextprotocol/subscriptionId',
} as const;
