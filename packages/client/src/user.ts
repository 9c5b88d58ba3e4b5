// One user's view of the client: every call and every noun bound to that user. Making one does no I/O.
import { contract } from '@mcp-valet/shared';
import { type Call, type List, startCall } from './call.ts';
import { ValidationError } from './errors.ts';
import { nothingKnown } from './gate-ask.ts';
import type { RateLimitSnapshot } from './gate-options.ts';
import { type UserMcp, withMcp } from './mcp/user-mcp.ts';
import type { Input, Item, Method } from './namespaces.ts';
import type { CallOptions } from './options.ts';
import { printAs } from './redact.ts';
import { isRecord } from './respond.ts';
import { type RouteArguments, routeCall, routeList } from './route-call.ts';
import { directCall, type ExecuteOptions, serverOf, toolCall } from './rpc.ts';
import { makeSecrets, type UserSecrets } from './secrets.ts';
import { send } from './send.ts';
import type { ToolArgs, ToolName, ToolOutput } from './tool-registry.ts';
import type { ToolResult } from './tool-result.ts';
import type { Transport } from './transport.ts';

type Routes = typeof contract;
type Unbound<T> = Omit<T, 'userId'>;

/** Credentials of one user: what can be bound to a user without asking the server first. */
export interface UserCredentials {
  /** Stores a credential of this user. Throws ConflictError when the chosen id is taken. */
  deposit(
    params: Unbound<Input<Routes['credentials']['create']>>,
    options?: CallOptions,
  ): ReturnType<Method<Routes['credentials']['create']>>;
  /** This user's credentials, without values. */
  list(
    query?: Unbound<Input<Routes['credentials']['list']>>,
    options?: CallOptions,
  ): List<Item<Routes['credentials']['list']>>;
}

/** What a key does as its own user. Its credentials and calls are `client.credentials` and `client.calls`, which the gateway scopes. */
export interface SelfClient {
  readonly secrets: UserSecrets;
  /**
   * Calls a tool as this user. A tool that says no is a result with `isError`; a refusal of the gateway throws.
   * Sent again only when that cannot run it twice; otherwise OutcomeUnknownError.
   */
  execute<N extends ToolName>(tool: N, args?: ToolArgs<N>, options?: ExecuteOptions): Call<ToolResult<ToolOutput<N>>>;
  /** Runs an action of a connector as this user: through the server when there is one, else directly. */
  runAction(
    connector: string,
    action: string,
    parameters?: Readonly<Record<string, unknown>>,
    options?: ExecuteOptions,
  ): Call<ToolResult>;
  /** Where this user's calls stand at the rate limit, as far as this process knows. Asks nobody. */
  limits(): RateLimitSnapshot;
}

/** Everything a backend does as one of its users. */
export interface UserClient extends SelfClient, UserMcp {
  /** The user, as given. */
  readonly userId: string;
  readonly credentials: UserCredentials;
  /** This user's calls, newest first; never arguments or results. */
  history(query?: Unbound<Input<Routes['calls']['list']>>, options?: CallOptions): List<Item<Routes['calls']['list']>>;
}

/** Per-call options over the view's defaults. */
function merge(defaults: ExecuteOptions, options: ExecuteOptions | undefined): ExecuteOptions {
  if (!options) return defaults;
  const headers = { ...defaults.headers, ...options.headers };
  return { ...defaults, ...options, ...(Object.keys(headers).length > 0 && { headers }) };
}

class Self implements SelfClient {
  readonly secrets: UserSecrets;
  readonly #user: string | undefined;
  readonly #transport: Transport;
  readonly #defaults: ExecuteOptions;

  constructor(transport: Transport, user: string | undefined, defaults: ExecuteOptions) {
    this.#transport = transport;
    this.#user = user;
    this.#defaults = defaults;
    this.secrets = makeSecrets(transport, user === undefined ? 'self' : { userId: user });
    printAs(this, () => ({ user: user === undefined ? '[self]' : '[user]' }));
  }

  execute<N extends ToolName>(tool: N, args?: ToolArgs<N>, options?: ExecuteOptions): Call<ToolResult<ToolOutput<N>>> {
    return startCall(async () => {
      const merged = merge(this.#defaults, options);
      return send(toolCall<ToolOutput<N>>(this.#transport, this.#user, tool, args, merged), this.#transport);
    });
  }

  runAction(
    connector: string,
    action: string,
    parameters?: Readonly<Record<string, unknown>>,
    options?: ExecuteOptions,
  ): Call<ToolResult> {
    return startCall(async () => {
      const transport = this.#transport;
      const merged = merge(this.#defaults, options);
      if (transport.config.accessUrl === undefined && serverOf(transport, merged) === undefined) {
        return send(directCall(transport, this.#user, { connector, action, parameters }, merged), transport);
      }
      const args = { connectorId: connector, actionId: action, ...(parameters !== undefined && { parameters }) };
      return send(toolCall(transport, this.#user, 'execute_action_alloy', args, merged), transport);
    });
  }

  limits(): RateLimitSnapshot {
    const { config, learned } = this.#transport;
    return config.rateLimit ? learned.gate.snapshot('calls', this.#user ?? '', config.rateLimit) : nothingKnown;
  }
}

class User extends Self implements Omit<UserClient, keyof UserMcp> {
  readonly credentials: UserCredentials;
  readonly #userId: string;
  readonly #transport: Transport;

  constructor(transport: Transport, userId: string, defaults: ExecuteOptions) {
    super(transport, userId, defaults);
    this.#userId = userId;
    this.#transport = transport;
    const { create, list } = contract.credentials;
    this.credentials = {
      deposit: (params, options) =>
        routeCall(transport, 'credentials.create', create, this.#bind(params, options), (reply) => reply as never),
      list: (query, options) => routeList(transport, 'credentials.list', list, this.#bind(query, options)),
    };
  }

  get userId(): string {
    return this.#userId;
  }

  history(query?: Unbound<Input<Routes['calls']['list']>>, options?: CallOptions): List<Item<Routes['calls']['list']>> {
    return routeList(this.#transport, 'calls.list', contract.calls.list, this.#bind(query, options));
  }

  /** Puts this user into the input. Another one there is refused: a bound noun never reaches somebody else. */
  #bind(input: unknown, options: CallOptions | undefined) {
    return (): RouteArguments => {
      const userId = this.#userId;
      const path = 'userId';
      if (input !== undefined && !isRecord(input)) throw new ValidationError({ message: 'must be an object', path });
      if (input && 'userId' in input && input['userId'] !== userId) {
        throw new ValidationError({ message: 'This view is bound to one user; leave out userId', path });
      }
      return { input: { ...input, userId }, options, userId };
    };
  }
}

export const makeSelf = (transport: Transport, defaults: ExecuteOptions): SelfClient =>
  new Self(transport, undefined, defaults);
export const makeUser = (transport: Transport, userId: string, defaults: ExecuteOptions): UserClient =>
  withMcp(new User(transport, userId, defaults), { transport, userId, defaults });
