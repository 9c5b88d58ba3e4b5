// A route of the contract as a method: what it takes, what it answers, what it lists. Types only.
import type { Camel, PathParams, RouteBody, RouteDefinition, RouteQuery, RouteReply } from '@mcp-valet/shared';
import type { Call, List } from './call.ts';
import type { CallOptions } from './options.ts';

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
