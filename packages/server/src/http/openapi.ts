// This gateway's OpenAPI 3.1 document, made from the contract. Nothing is described by hand but what the contract does not hold: the MCP
// endpoints, the headers, the security scheme. Pure; made once per process and sent as bytes.
import {
  account,
  action,
  apiError,
  apiKey,
  apiKeySummary,
  auditEvent,
  callRecord,
  connector,
  credential,
  type Dialect,
  type ErrorCode,
  errorTable,
  headers,
  inject,
  type RouteDefinition,
  restrictions,
  routes,
  secretInfo,
  secretsError,
  server,
  user,
  usersError,
} from '@mcp-valet/shared';
import * as z from 'zod';
import { version } from '../version.ts';
import { sharedHeaders, sharedParameters } from './openapi-headers.ts';
import { mcpPaths } from './openapi-mcp.ts';

type Schema = RouteDefinition['reply'];
type Json = Record<string, unknown>;

/** Schemas that are named once and referred to everywhere else. */
const named: Readonly<Record<string, Schema>> = {
  Account: account,
  Action: action,
  ApiError: apiError,
  ApiKey: apiKey,
  ApiKeySummary: apiKeySummary,
  AuditEvent: auditEvent,
  CallRecord: callRecord,
  Connector: connector,
  Credential: credential,
  Inject: inject,
  Restrictions: restrictions,
  SecretInfo: secretInfo,
  SecretsError: secretsError,
  Server: server,
  User: user,
  UsersError: usersError,
};
const errorSchema: Record<Dialect, string> = { api: 'ApiError', users: 'UsersError', secrets: 'SecretsError' };

/** What every route behind a key may answer beside its own errors. */
const commonErrors: readonly ErrorCode[] = [
  'INVALID_REQUEST',
  'UNAUTHORIZED',
  'FORBIDDEN',
  'RATE_LIMITED',
  'INTERNAL_ERROR',
  'UNAVAILABLE',
];

const ref = (kind: string, name: string): Json => ({ $ref: `#/components/${kind}/${name}` });

/** JSON Schema of a zod schema with the named ones as references into components. */
function schemaConverter() {
  const registry = z.registry<{ id?: string | undefined }>();
  for (const [id, schema] of Object.entries(named)) registry.add(schema, { id });
  const components: Record<string, unknown> = {};
  const convert = (schema: Schema): Json => {
    // `input`: what may be sent, and for replies an object that may grow; the output form would close every object.
    const {
      $schema: _,
      $defs,
      ...json
    } = z.toJSONSchema(schema, { metadata: registry, io: 'input', unrepresentable: 'any' }) as Json;
    for (const [id, definition] of Object.entries($defs ?? {})) components[id] ??= relink(definition);
    return relink(json) as Json;
  };
  for (const [id, schema] of Object.entries(named)) {
    const json = convert(z.object({ it: schema })) as { properties: { it: Json } };
    if (json.properties.it['$ref'] === undefined) throw new Error(`${id} did not become a component`);
  }
  return { convert, components };
}

/** References of one schema document become references of this one. */
function relink(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(relink);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, entry]) => {
      if (name === 'id' && typeof entry === 'string' && Object.hasOwn(named, entry)) return [];
      if (name === '$ref' && typeof entry === 'string')
        return [[name, entry.replace('#/$defs/', '#/components/schemas/')]];
      return [[name, relink(entry)]];
    }),
  );
}

type Convert = (schema: Schema) => Json;

function parametersOf(route: RouteDefinition, convert: Convert): Json[] {
  const of = (place: 'path' | 'query', schema: Schema | undefined): Json[] => {
    if (schema === undefined) return [];
    const { properties = {}, required = [] } = convert(schema) as {
      properties?: Record<string, Json>;
      required?: string[];
    };
    return Object.entries(properties).map(([name, property]) => ({
      name,
      in: place,
      required: place === 'path' || required.includes(name),
      schema: property,
    }));
  };
  const own = [...of('path', route.params), ...of('query', route.query)];
  if (route.access.includes('public')) return own;
  const shared = [
    'RequestId',
    ...(route.method === 'POST' ? ['IdempotencyKey', 'IdempotencyEpoch'] : []),
    ...(route.path === '/api/servers' || route.plane === 'call' ? ['User'] : []),
  ];
  return [...own, ...shared.map((name) => ref('parameters', name))];
}

function isOptional(schema: Schema): boolean {
  return schema.safeParse(undefined).success;
}

function responsesOf(route: RouteDefinition, convert: Convert): Json {
  const isPublic = route.access.includes('public');
  const isKeyed = route.errors.includes('IDEMPOTENCY_IN_PROGRESS');
  const codes = [
    ...new Set([
      ...(isPublic ? (['INTERNAL_ERROR'] as const) : commonErrors),
      ...route.errors,
      ...(isKeyed ? (['OUTCOME_UNKNOWN', 'ANSWER_NOT_KEPT'] as const) : []),
    ]),
  ];
  const errors = [...groupByStatus(codes)].map(([status, list]) => [
    String(status),
    {
      description: list.map((code) => `\`${code}\`: ${errorTable[code].when}`).join('. '),
      headers: {
        [headers.shouldRetry]: ref('headers', 'ShouldRetry'),
        [headers.requestId]: ref('headers', 'RequestId'),
        ...((status === 429 || status === 503) && { 'Retry-After': ref('headers', 'RetryAfter') }),
      },
      content: { 'application/json': { schema: ref('schemas', errorSchema[route.dialect]) } },
    },
  ]);
  return {
    [String(route.status)]: {
      description: route.status === 201 ? 'Created' : 'OK',
      headers: {
        [headers.requestId]: ref('headers', 'RequestId'),
        ...(!isPublic && {
          RateLimit: ref('headers', 'RateLimit'),
          'RateLimit-Policy': ref('headers', 'RateLimitPolicy'),
        }),
        ...(!isPublic && { [headers.idempotency]: ref('headers', 'Idempotency') }),
        ...(route.method === 'POST' && { [headers.replayed]: ref('headers', 'Replayed') }),
        ...(route.oneTime && { [headers.leftOut]: ref('headers', 'LeftOut') }),
      },
      content: {
        'application/json': { schema: convert(route.reply) },
        ...(route.ndjson && {
          'application/x-ndjson': {
            schema: { type: 'string', description: 'Every entry of the list, a JSON object per line' },
          },
        }),
      },
    },
    ...Object.fromEntries(errors),
  };
}

function groupByStatus(codes: readonly ErrorCode[]): Map<number, ErrorCode[]> {
  const groups = new Map<number, ErrorCode[]>();
  for (const code of codes) {
    const { status } = errorTable[code];
    groups.set(status, [...(groups.get(status) ?? []), code]);
  }
  return new Map([...groups].sort(([a], [b]) => a - b));
}

const keyNames: Record<string, string> = { adm: 'admin', ent: 'enterprise', std: 'standard' };

function operationOf(id: string, route: RouteDefinition, convert: Convert): Json {
  const isPublic = route.access.includes('public');
  return {
    operationId: id.replace('.', '_'),
    tags: [id.split('.')[0]],
    summary: route.summary,
    description: isPublic ? 'No authentication.' : `Keys: ${route.access.map((kind) => keyNames[kind]).join(', ')}.`,
    ...(isPublic && { security: [] }),
    parameters: parametersOf(route, convert),
    ...(route.body && {
      requestBody: {
        required: !isOptional(route.body),
        content: { 'application/json': { schema: convert(route.body) } },
      },
    }),
    responses: responsesOf(route, convert),
  };
}

export function createOpenApi(facts: { version: string; url: string }): Json {
  const { convert, components } = schemaConverter();
  const paths: Record<string, Json> = {};
  for (const { id, route } of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operationOf(id, route, convert) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'MCP Valet',
      version: facts.version,
      description:
        'One MCP endpoint for every user, each call with that user’s identity, rights, limits and credentials.',
    },
    servers: [{ url: facts.url }],
    security: [{ apiKey: [] }],
    tags: [...new Set(routes.map(({ id }) => id.split('.')[0])), 'mcp'].map((name) => ({ name })),
    paths: { ...paths, ...mcpPaths(ref) },
    components: {
      schemas: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))),
      parameters: sharedParameters,
      headers: sharedHeaders,
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: 'An API key of this gateway: `mcpv_…`' },
      },
    },
  };
}

const made = new Map<string, Buffer>();

/** The document as it is sent, made once per public URL (a process has one, tests have several). */
export function openApiBytes(url: string): Buffer {
  let bytes = made.get(url);
  if (bytes === undefined) {
    bytes = Buffer.from(JSON.stringify(createOpenApi({ version, url })), 'utf8');
    made.set(url, bytes);
  }
  return bytes;
}
