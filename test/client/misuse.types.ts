// Checked by the compiler, never run, from the sources and against the packed SDK: what must compile does, and each line under
// `@ts-expect-error` is refused, for the reason whose number stands there.
import {
  type Adapter,
  APIError,
  AuthenticationError,
  type Call,
  type ContentBlock,
  CredentialRequiredError,
  type List,
  MCPClient,
  type Meta,
  OutcomeUnknownError,
  type Page,
  RateLimitError,
  type RateLimitSnapshot,
  type SafeResult,
  Secret,
  type Server,
  type ToolArgs,
  type ToolOutput,
  type ToolResult,
  type User,
  type UserClient,
  ValetError,
} from '@mcp-valet/client';

declare module '@mcp-valet/client' {
  interface ToolRegistry {
    crm__add_customer: { args: { name: string; vip?: boolean }; output: { customerId: string } };
  }
}

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => undefined;

/** Under exactOptionalPropertyTypes, as the first lines of everybody's program have it. */
export function compilesFromTheEnvironment(env: Record<string, string | undefined>, signal?: AbortSignal): void {
  const client = new MCPClient({ baseUrl: env['URL'], apiKey: env['KEY'], rateLimit: { maxWaitMs: undefined } });
  void client.forUser('al', { server: env['SERVER'] }).execute('t', {}, { signal, idempotencyKey: env['JOB'] });
  void client.forUser('al').connectAccount({ connector: 'mail', redirectUri: env['BACK'] });
}

export async function compiles(): Promise<void> {
  const client = new MCPClient({
    baseUrl: new URL('https://mcp.example.com'),
    apiKey: async () => new Secret('k'),
    rateLimit: { mode: 'reject', quota: { limit: 100, windowMs: 60_000 } },
    headers: { 'x-trace': 'a', 'x-drop': null },
  });
  same<ToolArgs<'crm__add_customer'>, { name: string; vip?: boolean }>(true);
  same<ToolOutput<'crm__add_customer'>, { customerId: string }>(true);
  same<ToolOutput<'unknown tool'>, unknown>(true);
  const user: UserClient = client.forUser('al', { timeout: 5000 });
  const call: Call<ToolResult<{ customerId: string }>> = user.execute('crm__add_customer', { name: 'Zoe' });
  const result = await call;
  same<typeof result.structuredContent, { customerId: string } | undefined>(true);
  same<typeof result.content, ContentBlock[]>(true);
  same<ReturnType<typeof result.text>, string>(true);
  const { data, meta } = await call.withMeta();
  same<typeof data, ToolResult<{ customerId: string }>>(true);
  same<typeof meta, Meta>(true);
  const end: SafeResult<ToolResult<{ customerId: string }>> = await call.safe();
  if (!end.ok) {
    const { error } = end;
    same<typeof error, ValetError>(true);
    if (error instanceof RateLimitError) same<typeof error.source, 'server' | 'local'>(true);
    else if (error instanceof CredentialRequiredError) same<typeof error.connectUrl, string | undefined>(true);
    else if (error instanceof OutcomeUnknownError) same<typeof error.state, 'running' | 'unknown' | 'no_answer'>(true);
  }
  const list: List<User> = client.users.list({ limit: 10 });
  for await (const one of list) same<typeof one.email, string | null>(true);
  const page: Page<User> = await list;
  same<typeof page.items, readonly User[]>(true);
  const server: Server = await client.servers.update('s', { description: null });
  same<typeof server.mode, 'connectivity' | 'direct'>(true);
  const limits: RateLimitSnapshot = user.limits();
  same<typeof limits.remaining, number | undefined>(true);
  const shout: Adapter<string> = { name: 'shout', build: ({ tools }) => tools.map(({ name }) => name).join() };
  same<Awaited<ReturnType<typeof user.toolsFor<string>>>, string>(true);
  const text: string = await user.toolsFor(shout, { include: ['crm__*'] });
  const raw: { ok: boolean } = await client.request('GET', '/api/new-noun', { query: { limit: 5 } });
  await client.secrets.set(
    { userId: 'al', connector: 'crm', name: 'TOKEN', value: new Secret(text) },
    { maxRetries: 0 },
  );
  await client.withOptions({ server: String(raw.ok) }).close();
}

export async function refuses(client: MCPClient, user: UserClient, error: unknown): Promise<void> {
  // @ts-expect-error 2769: a user is named by text
  client.forUser(42);
  // @ts-expect-error 2554: a user is named
  client.forUser();
  // @ts-expect-error 2345: nobody is not a user
  await client.executeForUser(undefined, 'echo');
  // @ts-expect-error 2353: the arguments of a known tool are its own
  await user.execute('crm__add_customer', { nmae: 'Zoe' });
  // @ts-expect-error 2322: and have their types
  await user.execute('crm__add_customer', { name: 5 });
  // @ts-expect-error 2353: and no others
  await user.execute('crm__add_customer', { name: 'Zoe', admin: true });
  // @ts-expect-error 2339: what a known tool answers is known
  void (await user.execute('crm__add_customer', { name: 'Zoe' })).structuredContent?.name;
  // @ts-expect-error 2571: what an unknown tool answers has to be looked at first
  void (await user.execute('anything')).structuredContent.name;
  // @ts-expect-error 2345: arguments are an object
  await user.execute('anything', ['positional']);
  // @ts-expect-error 2353: an option of another call
  await user.execute('anything', {}, { retries: 3 });
  // @ts-expect-error 2322: milliseconds, not words
  await user.execute('anything', {}, { timeout: '5s' });
  // @ts-expect-error 2322: a deadline is a number or none
  await user.execute('anything', {}, { deadline: true });
  // @ts-expect-error 2353: management calls run no tool
  await client.users.get('al', { cancelOnAbort: true, throwOnToolError: true });
  // @ts-expect-error 2345: a required field
  await client.users.create({ email: 'al@example.com' });
  // @ts-expect-error 2353: an unknown field
  await client.users.create({ username: 'al', role: 'admin' });
  // @ts-expect-error 2322: a field of another type
  await client.users.create({ username: 'al', email: false });
  // @ts-expect-error 2345: a required field
  await client.connectors.create({ connectorId: 'crm' });
  // @ts-expect-error 2322: a kind that does not exist
  await client.connectors.create({ connectorId: 'crm', kind: 'ftp', url: 'ftp://h' });
  // @ts-expect-error 2345: which secret it is
  await client.setSecret({ userId: 'al', connector: 'crm', value: 'v' });
  // @ts-expect-error 2322: lists, not one name
  await client.users.replaceAccess('al', { allowed: 'crm' });
  // @ts-expect-error 2339: no such namespace
  await client.robots.list();
  // @ts-expect-error 2551: no such method
  await client.users.lists();
  // @ts-expect-error 2339: no such method of a user's view
  await user.impersonate('bob');
  // @ts-expect-error 2540: a view keeps its user
  user.userId = 'bob';
  // @ts-expect-error 2339: a page is not an array
  (await client.users.list()).map(String);
  // @ts-expect-error 2554: how many at most
  await (await client.users.list()).toArray();
  // @ts-expect-error 2353: no such option of the client
  new MCPClient({ baseUrl: 'https://h', apiKey: 'k', retries: 3 });
  // @ts-expect-error 2322: no such mode
  new MCPClient({ baseUrl: 'https://h', apiKey: 'k', rateLimit: { mode: 'queue' } });
  // @ts-expect-error 2741: a limit has a window
  new MCPClient({ baseUrl: 'https://h', apiKey: 'k', rateLimit: { quota: { limit: 100 } } });
  // @ts-expect-error 2345: no such method of HTTP
  await client.request('FETCH', '/api/x');
  // @ts-expect-error 2345: below the base, not somewhere else
  await client.request('GET', 'https://elsewhere.example');
  if (error instanceof ValetError) {
    // @ts-expect-error 2339: of one class only, so narrow first
    void error.connectUrl;
    // @ts-expect-error 2540: facts of an error stay
    error.retryable = true;
  }
  if (error instanceof RateLimitError) {
    // @ts-expect-error 2367: no such source
    if (error.source === 'proxy') return;
  } else if (error instanceof AuthenticationError) {
    // @ts-expect-error 2339: belongs to the limit's class
    void error.policy;
  } else if (error instanceof APIError) {
    // @ts-expect-error 2322: an error need not have come from an answer
    const status: number = error.status;
    void status;
  }
  const end = await client.me().safe();
  // @ts-expect-error 2339: look at `ok` first
  void end.data;
  // @ts-expect-error 2367: no such outcome
  if (!end.ok && end.error.executed === 'maybe') return;
}
