// Reads what a management route declares: path, query, body, and the two headers that have a meaning here. Refuses by naming every field.
// Knows the contract and HTTP; decides nothing about who may do what.
import { headers, limits, type RouteDefinition, type RouteInput, usernamePattern } from '@mcp-valet/shared';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as z from 'zod/mini';
import en from 'zod/v4/locales/en.js';
import { JsonError, parseJson } from '../mcp/jsonrpc.ts';
import { Refusal, userNotFound } from '../refusal.ts';

// zod/mini ships without messages; the gateway's answers need readable ones, the SDK does not carry them.
z.config(en());

declare module 'fastify' {
  interface FastifyContextConfig {
    /** How many values a JSON body may hold, where the route allows more than usual. */
    maxJsonNodes?: number;
  }
}

interface Issue {
  path: string;
  message: string;
}

const maxIssues = 20;

/** `application/json` only, with limits that hold before anything is built from the bytes. Other media types are refused by Fastify. */
export function installJsonParser(app: FastifyInstance, maxNodes: number = limits.jsonNodes): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer;
    // A client that always sends the header and sometimes a body: no body is no body.
    if (bytes.length === 0) return done(null, undefined);
    try {
      done(null, parseJson(bytes, limits.jsonDepth, request.routeOptions.config.maxJsonNodes ?? maxNodes));
    } catch (error) {
      done(error instanceof JsonError ? invalid([{ path: '', message: error.message }]) : (error as Error));
    }
  });
}

/** The route's input, parsed and checked. Throws INVALID_REQUEST. */
export function readInput(route: RouteDefinition, request: FastifyRequest): RouteInput<RouteDefinition> {
  const issues: Issue[] = [];
  const parse = (schema: RouteDefinition['body'], value: unknown): unknown => {
    if (schema === undefined) return undefined;
    const parsed = schema.safeParse(value);
    if (!parsed.success) issues.push(...parsed.error.issues.flatMap(issuesOf));
    return parsed.data;
  };
  const input = {
    params: parse(route.params, request.params) ?? {},
    query: route.query === undefined ? noQuery(request.query, issues) : parse(route.query, request.query),
    body: route.body === undefined ? noBody(request.body, issues) : parse(route.body, request.body),
  };
  if (issues.length > 0) throw invalid(issues.slice(0, maxIssues));
  return input as RouteInput<RouteDefinition>;
}

/** A misspelt filter that is ignored would answer another question. */
function noQuery(query: unknown, issues: Issue[]): Record<string, never> {
  for (const name of Object.keys(query ?? {})) issues.push({ path: name, message: `Unrecognized key: "${name}"` });
  return {};
}

function noBody(body: unknown, issues: Issue[]): undefined {
  const isEmpty = body === undefined || body === null || (typeof body === 'object' && Object.keys(body).length === 0);
  if (!isEmpty) issues.push({ path: '', message: 'This route takes no body' });
  return undefined;
}

type ZodIssue = {
  code?: string | undefined;
  path: PropertyKey[];
  message: string;
  keys?: string[];
  errors?: ZodIssue[][];
};

/** One issue per field: zod names unknown keys in one issue of their parent, and hides those of a union one level down. */
function issuesOf(issue: ZodIssue): Issue[] {
  const path = issue.path.map(String).join('.');
  const under = (key: string) => (path === '' ? key : `${path}.${key}`);
  if (issue.code === 'unrecognized_keys')
    return (issue.keys ?? []).map((key) => ({ path: under(key), message: `Unrecognized key: "${key}"` }));
  return [{ path, message: issue.message }];
}

function invalid(issues: readonly Issue[]): Refusal {
  const [first] = issues;
  const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
  return new Refusal('INVALID_REQUEST', `Invalid request: ${where}${first?.message ?? ''}`, { details: { issues } });
}

/** The key under which a POST may be sent again, or undefined. */
export function readIdempotencyKey(request: FastifyRequest): string | undefined {
  const sent = request.headers[headers.idempotencyKey];
  if (sent === undefined) return undefined;
  if (typeof sent === 'string' && /^[\x21-\x7e]{1,255}$/.test(sent)) return sent;
  throw invalid([{ path: headers.idempotencyKey, message: 'Must be 1-255 visible ASCII characters' }]);
}

/**
 * Where a sign-in returns to, for the routes that take it in their body and in a header: the header counts where the body says nothing. Any
 * other route ignores it, as it does every header it does not know.
 */
export function withRedirectHeader(
  route: RouteDefinition,
  input: RouteInput<RouteDefinition>,
  request: FastifyRequest,
): RouteInput<RouteDefinition> {
  const sent = request.headers[headers.redirectUri];
  if (sent === undefined || !makesLinks.has(route.audit)) return input;
  const body = (input.body ?? {}) as { redirectUri?: string; authenticationType?: string };
  const isForLink = body.authenticationType === undefined || body.authenticationType === 'oauth2';
  if (body.redirectUri !== undefined || !isForLink) return input;
  if (typeof sent !== 'string' || sent.length === 0 || sent.length > 2048) {
    throw invalid([{ path: headers.redirectUri, message: 'Must be 1-2048 characters' }]);
  }
  return { ...input, body: { ...body, redirectUri: sent } } as unknown as RouteInput<RouteDefinition>;
}

const makesLinks: ReadonlySet<string | null> = new Set(['credential.create', 'credential.connect']);

/** The user that `x-alloy-userid` names. What cannot be a user is answered like one that is not there. */
export function readNamedUser(request: FastifyRequest): string | undefined {
  const sent = request.headers[headers.user];
  if (sent === undefined) return undefined;
  if (typeof sent === 'string' && usernamePattern.test(sent)) return sent;
  throw userNotFound();
}
