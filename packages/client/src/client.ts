// The client: one class, a namespace per noun of the contract, a view per user. Holds no logic of its own.
import { contract, type HttpMethod, type SecretInfo } from '@mcp-valet/shared';
import { type Call, startCall } from './call.ts';
import { ValidationError } from './errors.ts';
import { execute } from './execute.ts';
import type { WithOutput } from './input.ts';
import { makeNamespaces, type Namespaces } from './namespaces.ts';
import { baseUrlOf, plan } from './operation.ts';
import { accessUrlOf, type CallOptions, type ClientOptions, resolveOptions, type TokenSource } from './options.ts';
import { checkRawPath, checkUserId, queryString } from './paths.ts';
import { printAs } from './redact.ts';
import { isRecord, parseJson, unreadable } from './respond.ts';
import { routeCall } from './route-call.ts';
import type { Input, Reply } from './route-types.ts';
import type { ExecuteOptions } from './rpc.ts';
import type { Secret } from './secret.ts';
import type { SecretAddress } from './secrets.ts';
import { send } from './send.ts';
import type { ToolArgs, ToolName, ToolOutput } from './tool-registry.ts';
import type { ToolResult } from './tool-result.ts';
import { type Learned, Transport } from './transport.ts';
import { type EndUserClient, makeEndUser, makeSelf, makeUser, type SelfClient, type UserClient } from './user.ts';

type Routes = typeof contract;

/** Options of `request()`. */
export interface RawOptions extends CallOptions {
  /** Appended to the path; `undefined` is left out. */
  query?: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Sent as JSON. */
  body?: unknown;
  /** This POST or PATCH may run twice without harm, so it may be sent again. Default false. */
  repeatable?: boolean | undefined;
}

/** What `withOptions` hands on from one client to the next. */
const inherited = Symbol('inherited');
type Inheriting = ClientOptions & { [inherited]?: Learned | undefined };

/** Gives the class its namespaces as own properties; their types come from the contract. */
const Nouns = class {
  constructor(transport: Transport) {
    Object.assign(this, makeNamespaces(transport));
  }
} as unknown as new (
  // `unknown`, because the declarations of this class are public and the transport is not.
  transport: unknown,
) => Namespaces;

/** Speaks to one gateway with one credential. Make it once per process and share it. */
export class MCPClient extends Nouns {
  readonly #transport: Transport;
  readonly #options: ClientOptions;

  /** With an API key: everything. With `accessUrl`: calls only. */
  constructor(options?: ClientOptions);
  /** A server's URL and its access token: calls only. */
  constructor(serverUrl: string, token: string);
  constructor(first: ClientOptions | string = {}, token?: string) {
    const options: Inheriting = typeof first === 'string' ? { accessUrl: accessUrlOf(first, token ?? '') } : first;
    const transport = new Transport(resolveOptions(options), options[inherited]);
    super(transport);
    this.#transport = transport;
    this.#options = options;
    const { baseUrl, server } = transport.config;
    printAs(this, () => ({ client: 'MCPClient', baseUrl: baseUrl ?? '[tokenized URL]', server }));
  }

  /**
   * Calls a tool as one of your users: `forUser(userId).execute(…)`. Never sent without the user; never run twice.
   * A tool that says no is a result with `isError`; a refusal of the gateway throws the class of its code.
   */
  executeForUser<N extends ToolName, T = ToolOutput<N>>(
    userId: string,
    tool: N,
    args?: ToolArgs<N>,
    options?: ExecuteOptions & WithOutput<T>,
  ): Call<ToolResult<T>> {
    // Inside the call, so that a wrong user id rejects like every other failure of it.
    return startCall(async () => execute<T>(this.#transport, checkUserId(userId), tool, args, options ?? {}));
  }

  /** Publishes an MCP endpoint. `accessToken` and `accessUrl` are shown here and never again. Throws ConflictError when the name is taken. */
  createServer(
    params: Input<Routes['servers']['create']>,
    options?: CallOptions,
  ): Call<Reply<Routes['servers']['create']>> {
    return this.servers.create(params, options);
  }

  /** Stores a secret of a user for a connector; an existing one is replaced. Throws NotFoundError when there is no such connector. */
  setSecret(
    params: SecretAddress & { userId: string; value: string | Secret },
    options?: CallOptions,
  ): Call<SecretInfo> {
    return this.secrets.set(params, options);
  }

  /** Everything as one user. No I/O; cheap enough to make per request. Throws ValidationError when the id cannot be one. */
  forUser(userId: string, defaults?: ExecuteOptions): UserClient;
  /**
   * Everything as the user whom a token of theirs proves: a JWT of your identity provider, a session of your application. It goes beside the API
   * key, or alone when the client has none. Keep the view, or the function that gives the token, as long as the user is there.
   */
  forUser(user: { token: TokenSource }, defaults?: ExecuteOptions): EndUserClient;
  forUser(user: string | { token: TokenSource }, defaults: ExecuteOptions = {}): UserClient | EndUserClient {
    if (isRecord(user)) return makeEndUser(this.#transport, user.token, defaults);
    return makeUser(this.#transport, checkUserId(user), defaults);
  }

  /** The key's own user. The only way to send no user at all. */
  self(defaults: ExecuteOptions = {}): SelfClient {
    return makeSelf(this.#transport, defaults);
  }

  /** Who this key is: its kind, account, own user and limits. Throws AuthenticationError when it is none. */
  me(options?: CallOptions): Call<Reply<Routes['system']['me']>> {
    return routeCall(
      this.#transport,
      'me',
      contract.system.me,
      () => ({ options }),
      (reply) => reply as never,
    );
  }

  /** State of the gateway: version, uptime, database, upstreams as last seen, limits. */
  status(options?: CallOptions): Call<Reply<Routes['system']['status']>> {
    return routeCall(
      this.#transport,
      'status',
      contract.system.status,
      () => ({ options }),
      (reply) => reply as never,
    );
  }

  /** This client with some options changed. What was learned of the server is shared unless server or credential change. Throws ConfigError. */
  withOptions(patch: Partial<ClientOptions>): MCPClient {
    const moves = 'baseUrl' in patch || 'apiKey' in patch || 'accessUrl' in patch;
    const next: Inheriting = { ...this.#options, ...patch, [inherited]: moves ? undefined : this.#transport.learned };
    return new MCPClient(next);
  }

  /** A route that has no method yet. `path` is below `baseUrl`; the answer is parsed JSON, not checked. Throws the class of its status. */
  request<T = unknown>(method: HttpMethod, path: `/${string}`, options: RawOptions = {}): Call<T> {
    const transport = this.#transport;
    return startCall<T>(async () => {
      if (!['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method)) {
        throw new ValidationError({ message: 'method must be GET, POST, PUT, PATCH or DELETE', path: 'method' });
      }
      const operation = plan<T>(
        transport,
        {
          kind: 'management',
          name: 'request',
          method,
          url: baseUrlOf(transport) + checkRawPath(path) + queryString(options.query),
          // The path may hold ids, so logs do not get it.
          template: '/{path}',
          accept: 'application/json',
          body: options.body,
          authorize: true,
          repeatable: options.repeatable ?? ['GET', 'PUT', 'DELETE'].includes(method),
          reader: () => ({
            read: (answer, context) => {
              try {
                return parseJson(answer.bytes) as T;
              } catch (error) {
                if (error instanceof SyntaxError) throw unreadable('The answer is not JSON', context, answer);
                throw error;
              }
            },
          }),
        },
        options,
      );
      return send(operation, transport);
    });
  }

  /** Ends every wait for a retry. Requests in flight finish; new ones are refused. */
  async close(): Promise<void> {
    this.#transport.close();
  }

  /** `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
