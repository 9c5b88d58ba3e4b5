// A route is a value: both sides, the OpenAPI document and the contract tests are derived from it. Pure types and one identity function.
import type * as z from 'zod/mini';
import type { Dialect, ErrorCode } from './errors.ts';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Who may call a route. `std` reaches only what belongs to its own user; the handler's scope enforces it. */
export type Access = 'public' | 'adm' | 'ent' | 'std';

// biome-ignore lint/suspicious/noExplicitAny: any object schema of zod/mini; `any` is what its own generics use here
type ObjectSchema = z.ZodMiniObject<any, any>;
type AnySchema = z.ZodMiniType;

export interface RouteDefinition {
  method: HttpMethod;
  /** `{name}` marks a path parameter; each has a schema in `params`. */
  path: `/${string}`;
  access: readonly Access[];
  dialect: Dialect;
  /** One sentence: what it does. Shown in OpenAPI and to whoever reads the table. */
  summary: string;
  params?: ObjectSchema;
  query?: ObjectSchema;
  body?: AnySchema;
  status: 200 | 201;
  reply: AnySchema;
  /** Refusals beyond the ones every route has (INVALID_REQUEST, UNAUTHORIZED, FORBIDDEN, RATE_LIMITED, UNAVAILABLE, INTERNAL_ERROR). */
  errors: readonly ErrorCode[];
  /** The audit action written in the same transaction; `null` for reads. */
  audit: `${string}.${string}` | null;
  /** Property of the reply that holds the items, when the route is a list. */
  items?: string;
  /** With `Accept: application/x-ndjson` the list is answered whole, a JSON object per line: all pages from where the query begins. */
  ndjson?: boolean;
  /** `plain`: the handler does network I/O or reads what other parts cached, so no transaction is held around it. */
  db?: 'transaction' | 'plain';
  /** The body may be a whole document: the limits of the call plane hold instead of those of management. */
  largeBody?: boolean;
  /** A POST that may be sent twice without harm. */
  idempotent?: boolean;
  /** Reply properties shown once and never stored or replayed. */
  oneTime?: readonly string[];
  /** Answered by the call plane (`mcp/call.ts`), not by a handler of the management plane. */
  plane?: 'call';
}

/** Checks the shape of a route and keeps its literal types. */
export function route<const R extends RouteDefinition>(definition: R): R {
  return definition;
}

type Output<S> = S extends AnySchema ? z.output<S> : unknown;
type Input<S> = S extends AnySchema ? z.input<S> : unknown;

/** Names of the path parameters, in order. */
export type PathParams<P extends string> = P extends `${string}{${infer Name}}${infer Rest}`
  ? [Name, ...PathParams<Rest>]
  : [];

/** What a handler is given: path, query and body, parsed. */
export interface RouteInput<R extends RouteDefinition> {
  params: R extends { params: infer S } ? Output<S> : Record<string, never>;
  query: R extends { query: infer S } ? Output<S> : Record<string, never>;
  body: R extends { body: infer S } ? Output<S> : undefined;
}

/** What a caller sends as the body. */
export type RouteBody<R extends RouteDefinition> = R extends { body: infer S } ? Input<S> : undefined;
/** What a caller may put into the query string. */
export type RouteQuery<R extends RouteDefinition> = R extends { query: infer S } ? Input<S> : undefined;
/** What comes back on success. */
export type RouteReply<R extends RouteDefinition> = R extends { reply: infer S } ? Output<S> : never;
