// Carries MCP requests to REST APIs: an action is an operation of the connector's OpenAPI document. One call is one HTTP request through the
// egress, never sent twice. Secrets go where the document's security schemes and the connector's `inject` say, and nowhere else.
import type { ConnectorRecord } from '../../identity/records.ts';
import { Refusal } from '../../refusal.ts';
import { type Upstream, UpstreamFailure, type UpstreamRequest, type UpstreamResult } from '../backend.ts';
import type { Egress } from '../egress.ts';
import { injectHeaders, injectQuery } from '../inject.ts';
import { InvalidParameters } from '../openapi/check.ts';
import { actionItems } from '../openapi/describe.ts';
import { type CompiledDocument, isObject, type Operation } from '../openapi/document.ts';
import { type BuiltRequest, buildRequest, NoBaseUrl } from '../openapi/request.ts';
import { fillSecurity, type SchemeSecrets } from '../openapi/security.ts';
import { createScrub, type Scrub } from '../scrub.ts';
import { poolKey } from '../upstream-key.ts';
import { answerOf } from './http-answer.ts';
import { failureOfEgress } from './mcp-http-raw.ts';

export interface RestCarrierOptions {
  egress: Egress;
  /** The connector's compiled document, kept by whoever gives it. */
  load(connector: ConnectorRecord): Promise<CompiledDocument>;
  maxBytes: number;
  clientInfo: { name: string; version: string };
}

export interface RestCarrier {
  /** The operations as MCP tools; asks nobody. */
  list(upstream: Pick<Upstream, 'connector'>): Promise<{ items: Record<string, unknown>[] }>;
  /**
   * `tools/call` and `tools/list`. Throws UpstreamFailure; InjectError when a secret is missing; UNPROCESSABLE and NOT_FOUND for what
   * cannot be sent.
   */
  request(upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult>;
  /** What `request` would throw before anything leaves; sends nothing. */
  check(upstream: Upstream, name: string, args: Record<string, unknown>): Promise<void>;
}

const operations = new WeakMap<CompiledDocument, Map<string, Operation>>();

function findOperation(compiled: CompiledDocument, name: unknown): Operation | undefined {
  let byId = operations.get(compiled);
  if (byId === undefined) {
    byId = new Map(compiled.operations.map((operation) => [operation.id, operation]));
    operations.set(compiled, byId);
  }
  return typeof name === 'string' ? byId.get(name) : undefined;
}

export function createRestCarrier({ egress, load, maxBytes, clientInfo }: RestCarrierOptions): RestCarrier {
  const userAgent = `${clientInfo.name.replaceAll(' ', '-')}/${clientInfo.version}`;

  const prepare = async (upstream: Upstream, name: unknown, args: unknown) => {
    const compiled = await load(upstream.connector);
    const operation = findOperation(compiled, name);
    if (operation === undefined) throw new Refusal('NOT_FOUND', 'Action not found', { word: 'tool_not_found' });
    return { operation, built: build(upstream, compiled, operation, args) };
  };

  const call = async (upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult> => {
    const { connector, scrub } = upstream;
    const { operation, built } = await prepare(upstream, request.params['name'], request.params['arguments']);
    const headers = { ...built.headers, 'user-agent': userAgent, ...request.traceHeaders };
    const response = await egress
      .request(poolKey(connector.accountId, connector.id), built.url, {
        method: built.method,
        headers,
        ...(built.body !== undefined && { body: built.body }),
        signal: request.signal,
        maxBytes,
      })
      .catch((error: unknown) => {
        throw failureOfEgress(error, request.signal);
      });
    return answerOf(response, operation.id, withComposed(scrub, built));
  };

  return {
    async check(upstream, name, args) {
      await prepare(upstream, name, args);
    },
    list: async ({ connector }) => ({ items: actionItems(await load(connector)) }),
    async request(upstream, request) {
      if (request.method === 'tools/call') return call(upstream, request);
      if (request.method === 'tools/list') {
        return { result: { tools: actionItems(await load(upstream.connector)) }, status: null };
      }
      throw new UpstreamFailure('rpc', 'no', { rpc: { code: -32601, message: 'Method not found' } });
    },
  };
}

function build(upstream: Upstream, compiled: CompiledDocument, operation: Operation, given: unknown): BuiltRequest {
  const { connector, secrets, user } = upstream;
  const { inject } = connector;
  const auth: SchemeSecrets | null = connector.auth;
  // Injected headers and query parameters replace what the document says about security, unless `auth` asks for both.
  const usesSchemes = auth !== null || (inject?.headers === undefined && inject?.query === undefined);
  const security = usesSchemes ? fillSecurity(compiled, operation, secrets, auth) : undefined;
  const args = isObject(given) ? given : {};
  try {
    const built = buildRequest(compiled, operation, args, {
      baseUrl: connector.url,
      headers: { ...lowerCased(connector.headers), ...injectHeaders(inject, secrets, user) },
      ...(security !== undefined && { security }),
    });
    return { ...built, url: injectQuery(built.url, inject, secrets, user) };
  } catch (error) {
    if (error instanceof InvalidParameters) {
      const details = { issues: error.issues };
      throw new Refusal('UNPROCESSABLE', error.message, { details, reason: 'invalid_parameters', executed: 'no' });
    }
    if (error instanceof NoBaseUrl) throw new UpstreamFailure('unreachable', 'no', { words: error.message });
    throw error;
  }
}

const lowerCased = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** User name and password travel as one encoded text, which holds neither as it is stored. */
function withComposed(scrub: Scrub, { headers }: BuiltRequest): Scrub {
  const [, encoded] = /^Basic (.+)$/.exec(headers['authorization'] ?? '') ?? [];
  if (encoded === undefined) return scrub;
  const composed = createScrub([Buffer.from(encoded, 'base64').toString('utf8'), encoded]);
  return (text) => scrub(composed(text));
}
