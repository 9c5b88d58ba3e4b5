// The stage of the contract suites: a gateway with two accounts that have the same names, and requests as values. Knows the contract's types,
// asserts nothing.
import { randomBytes } from 'node:crypto';
import type {
  PathParams,
  RouteBody,
  RouteDefinition,
  RouteId,
  RouteOf,
  RouteQuery,
  RouteReply,
} from '@mcp-valet/shared';
import type { TestDatabase } from '../support/database.ts';
import { type Answer, addFixtures, type Fixtures, type Rig, type Send, startRig } from '../support/gateway.ts';

export interface Stage extends Fixtures {
  rig: Rig;
}

export async function startStage(open: () => Promise<TestDatabase>, env: Record<string, string> = {}): Promise<Stage> {
  const rig = await startRig({ database: await open(), env: { VALET_RATE_LIMIT: '100000', ...env } });
  const fixtures = await addFixtures(rig);
  return {
    ...fixtures,
    rig,
    async close() {
      await rig.close();
      await fixtures.close();
    },
  };
}

/** A name that nothing else has. */
export const unique = (prefix: string): string => `${prefix}-${randomBytes(5).toString('hex')}`;

/** What a request to a route carries, typed by the route. */
export type Wire<R extends RouteDefinition> = (PathParams<R['path']> extends []
  ? { params?: never }
  : { params: Record<PathParams<R['path']>[number], string> }) &
  ('query' extends keyof R ? { query?: RouteQuery<R> } : { query?: never }) &
  ('body' extends keyof R
    ? undefined extends RouteBody<R>
      ? { body?: RouteBody<R> }
      : { body: RouteBody<R> }
    : { body?: never });

export interface AnyWire {
  params?: Readonly<Record<string, string>>;
  query?: Readonly<Record<string, unknown>>;
  body?: unknown;
}

type Make<R extends RouteDefinition> = (stage: Stage) => Promise<Wire<R>> | Wire<R>;
type HasInput<R extends RouteDefinition> = 'body' extends keyof R ? true : 'query' extends keyof R ? true : false;
type IsOwn<R extends RouteDefinition> = Extract<R['access'][number], 'std'> extends never ? false : true;

interface Masked<R extends RouteDefinition> {
  /** Names something of the account `other`. */
  foreign: Make<R>;
  /** The same request, naming something that is nowhere. */
  missing: Make<R>;
}

/**
 * What the generic suite needs to know of one route. What a route has, its sample must have: a route without a sample, or a sample without
 * an answer to "what if it belongs to somebody else", does not compile.
 */
export type Sample<R extends RouteDefinition> = {
  /** A request of the account `home` that succeeds. Makes what it needs; each call gives another request. */
  valid: Make<R>;
} & (R['access'] extends readonly ['public']
  ? unknown
  : (HasInput<R> extends true
      ? {
          /** A body or query that breaks the schema, and the path that the answer must name. */
          invalid: { body?: unknown; query?: Record<string, unknown>; path: string };
        }
      : unknown) &
      (PathParams<R['path']> extends []
        ? { masked?: Record<string, Masked<R>> }
        : { masked: Record<string, Masked<R>> }) &
      (IsOwn<R> extends true
        ? {
            /** A request of alice's own standard key about herself. */
            own: Make<R>;
            /** The same about bob, and how it is refused; `null` where nobody can be named. */
            othersUser: { wire: Make<R>; status: 403 | 404 } | null;
          }
        : unknown) &
      (RouteReply<R> extends { total: number }
        ? {
            /** Adds an item to the list; gives how the list shows it. */
            add: (stage: Stage) => Promise<string>;
            /** The property of an item that `add` gives. */
            idOf: string;
          }
        : unknown));

export type Samples = { readonly [Id in RouteId]: Sample<RouteOf<Id>> };

export interface AnySample {
  valid(stage: Stage): Promise<AnyWire> | AnyWire;
  invalid?: { body?: unknown; query?: Record<string, unknown>; path: string };
  masked?: Record<
    string,
    { foreign(stage: Stage): Promise<AnyWire> | AnyWire; missing(stage: Stage): Promise<AnyWire> | AnyWire }
  >;
  own?(stage: Stage): Promise<AnyWire> | AnyWire;
  othersUser?: { wire(stage: Stage): Promise<AnyWire> | AnyWire; status: 403 | 404 } | null;
  add?(stage: Stage): Promise<string>;
  idOf?: string;
}

/** Path and query of a request. */
export function pathOf(route: RouteDefinition, wire: AnyWire): string {
  const path = route.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(wire.params?.[name] ?? `no-${name}`),
  );
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(wire.query ?? {})) query.append(name, String(value));
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}

/** Sends a request of a route as raw HTTP. */
export function sendWire(
  stage: Stage,
  route: RouteDefinition,
  wire: AnyWire,
  request: Omit<Send, 'method' | 'body'> = {},
): Promise<Answer> {
  return stage.rig.send(pathOf(route, wire), {
    ...request,
    method: route.method,
    ...(wire.body !== undefined && { body: wire.body }),
  });
}

/** A refusal as text, without what differs from request to request. */
export const withoutRequestId = ({ status, text }: Answer): string =>
  `${status} ${text.replace(/"(requestId|request_id)":"[^"]*"/, '"$1":"…"')}`;

/** The code of an error in any of the three envelopes, in capitals. */
export function codeOf({ body }: Answer): string {
  const code: unknown = body?.error?.code ?? body?.code ?? body?.error;
  return typeof code === 'string' ? code.toUpperCase() : '';
}
