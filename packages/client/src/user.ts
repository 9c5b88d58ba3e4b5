// One user's view of the client: every call and every noun bound to that user. Making one does no I/O.
import { contract } from '@mcp-valet/shared';
import type { AccountLink, ConnectParams } from './account-link.ts';
import { type Call, type List, startCall } from './call.ts';
import { connectAccount } from './connect-account.ts';
import { fill } from './error-base.ts';
import { PermissionError, ValidationError } from './errors.ts';
import { execute, executeDirect } from './execute.ts';
import { nothingKnown } from './gate-ask.ts';
import type { RateLimitSnapshot } from './gate-options.ts';
import type { WithOutput } from './input.ts';
import { type UserMcp, type UserMinting, withMcp } from './mcp/user-mcp.ts';
import { type CallOptions, checkToken, type TokenSource } from './options.ts';
import { printAs } from './redact.ts';
import { isRecord } from './respond.ts';
import { type RouteArguments, routeCall, routeList } from './route-call.ts';
import type { Input, Item, Method, Reply } from './route-types.ts';
import { directCall, type ExecuteOptions, serverOf } from './rpc.ts';
import { makeSecrets, type UserSecrets } from './secrets.ts';
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
  /** This user's named secrets. */
  readonly secrets: UserSecrets;
  /**
   * Calls a tool as this user. A tool that says no is a result with `isError`; a refusal of the gateway throws.
   * Sent again only when that cannot run it twice; otherwise OutcomeUnknownError.
   */
  execute<N extends ToolName, T = ToolOutput<N>>(
    tool: N,
    args?: ToolArgs<N>,
    options?: ExecuteOptions & WithOutput<T>,
  ): Call<ToolResult<T>>;
  /** Runs an action of a connector as this user: through the server when there is one, else directly. Throws as `execute`. */
  runAction<T = unknown>(
    connector: string,
    action: string,
    parameters?: Readonly<Record<string, unknown>>,
    options?: ExecuteOptions & WithOutput<T>,
  ): Call<ToolResult<T>>;
  /** Where this user's calls stand at the rate limit, as far as this process knows. Asks nobody. */
  limits(): RateLimitSnapshot;
}

/** Everything as one user. */
interface OneUser extends SelfClient, UserMcp {
  /** This user's credentials at the connectors. */
  readonly credentials: UserCredentials;
  /** This user's calls, newest first; never arguments or results. Throws PermissionError for a key that may not read them. */
  history(query?: Unbound<Input<Routes['calls']['list']>>, options?: CallOptions): List<Item<Routes['calls']['list']>>;
  /**
   * A link under which this user signs in to a connector, and `wait()` for the moment when they have. A sign-in that is still open or has to be
   * renewed is gone on with instead of begun twice. Throws UnprocessableError when the connector has no sign-in.
   */
  connectAccount(params: ConnectParams, options?: CallOptions): Call<AccountLink>;
}

/** Everything a backend does as one of its users. */
export interface UserClient extends OneUser, UserMinting {
  /** The user, as given. */
  readonly userId: string;
}

/** Everything as the user whom a token proves. Nobody else can be named. */
export interface EndUserClient extends OneUser {
  /** Not known before the gateway has looked at the token: ask `me()`. */
  readonly userId: undefined;
  /** Whom the token proves. Throws AuthenticationError when it is not good. */
  me(options?: CallOptions): Call<Reply<Routes['system']['me']>>;
}

/** Per-call options over the view's defaults. */
function merge<O extends ExecuteOptions>(
  defaults: ExecuteOptions,
  options: O | undefined,
): ExecuteOptions & Partial<O> {
  if (!options) return defaults as ExecuteOptions & Partial<O>;
  const headers = { ...defaults.headers, ...options.headers };
  return { ...fill(defaults, options), ...(Object.keys(headers).length > 0 && { headers }) };
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
    printAs(this, () => ({ user: user !== undefined ? '[user]' : transport.user ? '[token]' : '[self]' }));
  }

  execute<N extends ToolName, T = ToolOutput<N>>(
    tool: N,
    args?: ToolArgs<N>,
    options?: ExecuteOptions & WithOutput<T>,
  ): Call<ToolResult<T>> {
    return startCall(async () => execute<T>(this.#transport, this.#user, tool, args, merge(this.#defaults, options)));
  }

  runAction<T = unknown>(
    connector: string,
    action: string,
    parameters?: Readonly<Record<string, unknown>>,
    options?: ExecuteOptions & WithOutput<T>,
  ): Call<ToolResult<T>> {
    return startCall(async () => {
      const transport = this.#transport;
      const merged = merge(this.#defaults, options);
      if (transport.config.accessUrl === undefined && serverOf(transport, merged) === undefined) {
        const call = { connector, action, parameters };
        return executeDirect<T>(() => directCall(transport, this.#user, call, merged), transport, merged);
      }
      const args = { connectorId: connector, actionId: action, ...(parameters !== undefined && { parameters }) };
      return execute<T>(transport, this.#user, 'execute_action_alloy', args, merged);
    });
  }

  limits(): RateLimitSnapshot {
    const { config, learned, gateUser } = this.#transport;
    return config.rateLimit ? learned.gate.snapshot('calls', this.#user ?? gateUser, config.rateLimit) : nothingKnown;
  }
}

/** A user by name; or by the token in the transport, and then the name is asked for where it is needed. */
class User extends Self implements Omit<OneUser, keyof UserMcp> {
  readonly credentials: UserCredentials;
  readonly #userId: string | undefined;
  readonly #transport: Transport;
  #proven: Promise<string> | undefined;

  constructor(transport: Transport, userId: string | undefined, defaults: ExecuteOptions) {
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

  get userId(): string | undefined {
    return this.#userId;
  }

  history(query?: Unbound<Input<Routes['calls']['list']>>, options?: CallOptions): List<Item<Routes['calls']['list']>> {
    return routeList(this.#transport, 'calls.list', contract.calls.list, this.#bind(query, options));
  }

  connectAccount(params: ConnectParams, options?: CallOptions): Call<AccountLink> {
    return startCall(async () => {
      return connectAccount(this.#transport, await this.#who(), params, options);
    });
  }

  me(options?: CallOptions): Call<Reply<Routes['system']['me']>> {
    return routeCall(
      this.#transport,
      'me',
      contract.system.me,
      () => ({ options }),
      (reply) => reply as never,
    );
  }

  /** With a key beside it, a list without a name would be everybody's. Naming another than the token proves is refused by the gateway. */
  #who(): string | Promise<string> {
    if (this.#userId !== undefined) return this.#userId;
    this.#proven ??= this.#askWho();
    // A failure is the caller's to see, and not kept.
    this.#proven.catch(() => {
      this.#proven = undefined;
    });
    return this.#proven;
  }

  async #askWho(): Promise<string> {
    const { effectiveUser } = await this.me();
    if (effectiveUser) return effectiveUser.userId;
    throw new PermissionError({ message: 'The token proves no user', operation: 'me' });
  }

  /** Puts this user into the input. Another one there is refused: a bound noun never reaches somebody else. */
  #bind(input: unknown, options: CallOptions | undefined) {
    return async (): Promise<RouteArguments> => {
      const path = 'userId';
      if (input !== undefined && !isRecord(input)) throw new ValidationError({ message: 'must be an object', path });
      const userId = await this.#who();
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
  withMcp(new User(transport, userId, defaults), { transport, userId, defaults }) as UserClient;

export function makeEndUser(of: Transport, token: TokenSource, defaults: ExecuteOptions): EndUserClient {
  if (typeof token !== 'function') checkToken(token, 'token');
  const transport = of.asUser(token);
  const user = withMcp(new User(transport, undefined, defaults), { transport, userId: undefined, defaults });
  return user as unknown as EndUserClient;
}
