// The contract's table as methods: `client.servers.create(…)`. Made by a loop; the types are mapped over the same table, so the
// doc comment of a contract entry is what an editor shows on the method, and a new route needs no work here.
import {
  type Camel,
  type Contract,
  contract,
  type PathParams,
  type RouteBody,
  type RouteDefinition,
  type RouteQuery,
  type RouteReply,
} from '@mcp-valet/shared';
import type { Call, List } from './call.ts';
import { type CallFinder, makeCallFinder } from './find-call.ts';
import type { CallOptions } from './options.ts';
import { callRoute } from './route-call.ts';
import { makeSecrets, type Secrets } from './secrets.ts';
import type { Transport } from './transport.ts';

/** The routes of user management speak snake_case on the wire and camelCase here. */
type Cased<R extends RouteDefinition, T> = R['dialect'] extends 'users' ? Camel<T> : T;

/** What a route takes beside its path: the body, or for reads the query. */
export type Input<R extends RouteDefinition> = Cased<R, 'body' extends keyof R ? RouteBody<R> : RouteQuery<R>>;
/** What a route answers. */
export type Reply<R extends RouteDefinition> = Cased<R, RouteReply<R>>;

/** One entry of a list. */
export type Item<R extends RouteDefinition> = R extends { items: infer K extends string }
  ? RouteReply<R> extends { [P in K]: (infer E)[] }
    ? Cased<R, E>
    : never
  : never;

type Outcome<R extends RouteDefinition> = R extends { items: string } ? List<Item<R>> : Call<Reply<R>>;
type HasInput<R extends RouteDefinition> = 'body' extends keyof R ? true : 'query' extends keyof R ? true : false;
// biome-ignore lint/complexity/noBannedTypes: `{}` asks whether every field is optional
type MayOmit<T> = undefined extends T ? true : {} extends T ? true : false;

/** Path parameters first, then the input, then the options of the call. No route with two of them takes an input. */
export type Method<R extends RouteDefinition> =
  PathParams<R['path']> extends [string, string]
    ? (id: string, subId: string, options?: CallOptions) => Outcome<R>
    : MethodOfOne<R>;
type MethodOfOne<R extends RouteDefinition> = 'params' extends keyof R
  ? HasInput<R> extends true
    ? MayOmit<Input<R>> extends true
      ? (id: string, input?: Input<R>, options?: CallOptions) => Outcome<R>
      : (id: string, input: Input<R>, options?: CallOptions) => Outcome<R>
    : (id: string, options?: CallOptions) => Outcome<R>
  : HasInput<R> extends true
    ? MayOmit<Input<R>> extends true
      ? (input?: Input<R>, options?: CallOptions) => Outcome<R>
      : (input: Input<R>, options?: CallOptions) => Outcome<R>
    : (options?: CallOptions) => Outcome<R>;

type Methods<N> = { readonly [M in keyof N]: N[M] extends RouteDefinition ? Method<N[M]> : never };

interface CredentialAliases {
  /** Stores a user's credential: `create` under the name that says what happens. Throws ConflictError when the chosen id is taken. */
  readonly deposit: Method<Contract['credentials']['create']>;
}

interface ConnectorAliases {
  /** The connector's tools: `actions` in MCP's word. With `userId`, as that user's credential sees them. */
  readonly tools: Method<Contract['connectors']['actions']>;
}

type Own = 'secrets' | 'tools' | 'system';
type Derived = { readonly [N in Exclude<keyof Contract, Own>]: Methods<Contract[N]> };

/** `client.users`, `client.servers` and so on: one namespace per noun of the contract. */
export interface Namespaces extends Omit<Derived, 'credentials' | 'connectors' | 'calls'> {
  readonly calls: Derived['calls'] & CallFinder;
  readonly secrets: Secrets;
  readonly credentials: Derived['credentials'] & CredentialAliases;
  readonly connectors: Derived['connectors'] & ConnectorAliases;
}

const own: ReadonlySet<string> = new Set<Own>(['secrets', 'tools', 'system']);

/** Binds every noun to a transport. */
export function makeNamespaces(transport: Transport): Namespaces {
  const nouns: Record<string, Record<string, unknown>> = {};
  for (const [noun, routes] of Object.entries(contract)) {
    if (own.has(noun)) continue;
    const methods: Record<string, unknown> = {};
    for (const [method, route] of Object.entries(routes as Record<string, RouteDefinition>)) {
      methods[method] = (...args: unknown[]) => callRoute(transport, `${noun}.${method}`, route, args);
    }
    nouns[noun] = methods;
  }
  const { credentials, connectors, calls } = nouns;
  if (calls) Object.assign(calls, makeCallFinder(transport));
  if (credentials) credentials['deposit'] = credentials['create'];
  if (connectors) connectors['tools'] = connectors['actions'];
  for (const methods of Object.values(nouns)) Object.freeze(methods);
  return { ...nouns, secrets: Object.freeze(makeSecrets(transport, 'named')) } as unknown as Namespaces;
}
