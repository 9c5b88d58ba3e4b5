// A running gateway with the fixtures that most black-box suites need: two accounts, users, a key of every kind, a server, connectors to a
// recording upstream, and canary secrets. Speaks to it as raw HTTP, as an MCP client without handshake, and through the SDK.
// Asserts nothing about the gateway beyond "the set-up worked": what a test guarantees stands in the test.
import { randomBytes } from 'node:crypto';
import { type ClientOptions, MCPClient } from '@mcp-valet/client';
import { startTestGateway, type TestGateway, type TestGatewayOptions } from '@mcp-valet/server/testing';
import { internalsOf } from '../../packages/server/src/db/client.ts';
import { scopedQuery } from '../../packages/server/src/db/scope.ts';
import { openTestDatabase, type TestDatabase } from './database.ts';
import { type RecordingUpstream, type RecordingUpstreamOptions, startRecordingUpstream } from './recording-upstream.ts';

/** JSON as it came: an assertion says what is expected of it. */
// biome-ignore lint/suspicious/noExplicitAny: with `unknown`, every property of every answer would need a cast
export type Json = any;

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** Parsed JSON, or undefined when the body is not JSON. */
  body: Json;
}

export interface Send {
  method?: string;
  /** Bearer token; none: no Authorization header. */
  key?: string | undefined;
  /** Sent as JSON; a string is sent as it is. */
  body?: unknown;
  headers?: Readonly<Record<string, string>>;
}

export interface Rig {
  /** Base URL of a real socket. */
  readonly url: string;
  /** First admin key of account `default`. */
  readonly admin: string;
  readonly gateway: TestGateway;
  readonly database: TestDatabase;
  send(path: string, request?: Send): Promise<Answer>;
  /** As `send`, with the admin key and a check that the answer is a 2xx. */
  manage(method: string, path: string, body?: unknown, key?: string): Promise<Json>;
  /** One JSON-RPC request to an MCP endpoint, as a client without session sends it. */
  rpc(path: string, message: RpcMessage, request?: Omit<Send, 'body' | 'method'>): Promise<Answer>;
  sdk(key: string, options?: ClientOptions): MCPClient;
  /** Rows as the database holds them, under an account's scope; `*` is the installation. For what no route shows. */
  sql<T extends object>(account: string, text: string, params?: readonly unknown[]): Promise<T[]>;
  /** Statements of the schema's owner, past every scope: to break something on purpose. */
  asOwner(script: string): Promise<void>;
  close(): Promise<void>;
}

export interface RpcMessage {
  method: string;
  params?: Record<string, unknown>;
  id?: string | number;
}

export interface RigOptions extends Omit<TestGatewayOptions, 'env'> {
  env?: Record<string, string>;
  /** Default: an empty embedded database. Closed with the rig. */
  database?: TestDatabase;
}

/** The ways to speak to a gateway that listens, whoever started it. */
export function reach(url: string): Pick<Rig, 'send' | 'rpc' | 'sdk'> {
  const send = async (path: string, { method, key, body, headers }: Send = {}): Promise<Answer> => {
    const all = new Headers(body === undefined ? {} : { 'content-type': 'application/json' });
    if (key !== undefined) all.set('authorization', `Bearer ${key}`);
    for (const [name, value] of Object.entries(headers ?? {})) all.set(name, value);
    const response = await fetch(url + path, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: all,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, body: parsed(text) };
  };
  return {
    send,
    rpc: (path, message, { headers, ...request } = {}) =>
      send(path, {
        ...request,
        headers: { accept: 'application/json, text/event-stream', ...headers },
        body: { jsonrpc: '2.0', id: 1, ...message },
      }),
    sdk: (apiKey, more) => new MCPClient({ baseUrl: url, apiKey, logLevel: 'off', ...more }),
  };
}

/** A gateway on a real socket. Management is not limited, calls are limited as by default; `env` changes both. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const { env, database = await openTestDatabase('pglite'), ...gatewayOptions } = options;
  const gateway = await startTestGateway({
    checkReplies: true,
    ...gatewayOptions,
    env: {
      DATABASE_URL: database.url,
      VALET_MASTER_KEY: randomBytes(32).toString('base64'),
      VALET_MANAGEMENT_RATE_LIMIT: '1000000',
      ...env,
    },
  });
  const url = await gateway.listen();

  const { send, rpc, sdk } = reach(url);

  return {
    url,
    admin: gateway.apiKey,
    gateway,
    database,
    send,
    async manage(method, path, body, key = gateway.apiKey) {
      const answer = await send(path, { method, key, body });
      if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
      return answer.body;
    },
    rpc,
    sdk,
    sql: (account, text, params = []) => scopedQuery(gateway.gateway.parts.db, { account, user: '*' }, text, params),
    asOwner: (script) =>
      internalsOf(gateway.gateway.parts.db).driver.asOwner((owner) =>
        owner.transaction(async (run) => {
          await run(script);
        }),
      ),
    async close() {
      await gateway.close();
      await database.close();
    },
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The object that a tool answered as JSON in its first text block, in whichever shape the message came. */
export function toolJson(answer: Answer): Json {
  return JSON.parse(answer.body.result.content[0].text);
}

export interface Person {
  userId: string;
  username: string;
  /** A standard key of this user. */
  key: string;
  keyId: string;
  credentialId: string;
  /** What the user's secret `TOKEN` for the connector `demo` holds. Must turn up at the upstream, and nowhere else. */
  canary: string;
}

export interface Tenant {
  accountId: string;
  /** Kind `adm`. */
  admin: string;
  /** Kind `ent`. */
  enterprise: string;
  /** The users `alice` and `bob`, each with a key and a secret of their own. */
  alice: Person;
  bob: Person;
  server: { serverId: string; url: string; accessToken: string; accessUrl: string };
}

export interface Fixtures {
  upstream: RecordingUpstream;
  /** Account `default`. */
  home: Tenant;
  /** Another account that has the same names. */
  other: Tenant;
  /** Keys that open nothing, by why. */
  dead: { garbage: string; revoked: string; expired: string; deleted: string; disabled: string };
  close(): Promise<void>;
}

export const canary = (name: string): string => `canary-${name}-${randomBytes(12).toString('hex')}`;

/** Sends the user's secret `TOKEN` as a bearer token, as most upstreams want it. */
export const demoConnector = (url: string, connectorId = 'demo') => ({
  connectorId,
  kind: 'mcp-http',
  url,
  secretNames: ['TOKEN'],
  inject: { headers: { authorization: 'Bearer {{TOKEN}}' } },
});

export async function addFixtures(rig: Rig, upstreamOptions: RecordingUpstreamOptions = {}): Promise<Fixtures> {
  const upstream = await startRecordingUpstream({ record: true, ...upstreamOptions });
  const { account } = await rig.manage('GET', '/api/me');
  const home = await addTenant(rig, upstream.url, account.accountId, rig.admin);
  const made = await rig.manage('POST', '/api/accounts', { name: 'other' });
  const other = await addTenant(rig, upstream.url, made.accountId, made.apiKey);
  return { upstream, home, other, dead: await addDeadKeys(rig, home.accountId), close: () => upstream.close() };
}

async function addTenant(rig: Rig, upstreamUrl: string, accountId: string, admin: string): Promise<Tenant> {
  const manage = (method: string, path: string, body?: unknown) => rig.manage(method, path, body, admin);
  await manage('POST', '/api/connectors', demoConnector(upstreamUrl));
  const person = async (username: string): Promise<Person> => {
    const user = await manage('POST', '/users', { username });
    const key = await manage('POST', `/users/${username}/keys`, { key_name: `${username}-key` });
    const secret = canary(username);
    const credential = await manage('POST', '/api/credentials', {
      userId: username,
      connectorId: 'demo',
      authenticationType: 'secrets',
      fields: { TOKEN: secret },
    });
    const { credentialId } = credential;
    return { userId: user.user_id, username, key: key.api_key, keyId: key.key_id, credentialId, canary: secret };
  };
  const [alice, bob] = [await person('alice'), await person('bob')];
  const enterprise = await manage('POST', '/users/default/keys', { key_name: 'backend', kind: 'enterprise' });
  const { serverId, url, accessToken, accessUrl } = await manage('POST', '/api/servers', { name: 'main' });
  return {
    accountId,
    admin,
    enterprise: enterprise.api_key,
    alice,
    bob,
    server: { serverId, url, accessToken, accessUrl },
  };
}

async function addDeadKeys(rig: Rig, account: string): Promise<Fixtures['dead']> {
  const keyOf = async (username: string) => {
    const key = await rig.manage('POST', `/users/${username}/keys`, { key_name: `dead-${username}`, ttl_days: 1 });
    return key as { key_id: string; api_key: string };
  };
  const [revoked, expired] = [await keyOf('alice'), await keyOf('alice')];
  await rig.manage('POST', '/keys/revoke', { key_id: revoked.key_id });
  // Before its first use, so that no cache has seen it alive.
  await expireKey(rig, account, expired.key_id);
  await rig.manage('POST', '/users', { username: 'gone' });
  const deleted = await keyOf('gone');
  await rig.manage('DELETE', '/users/gone');
  await rig.manage('POST', '/users', { username: 'locked' });
  const disabled = await keyOf('locked');
  await rig.manage('PATCH', '/users/locked/enable', { enabled: false });
  return {
    garbage: 'mcpv_std_not-a-key-of-this-or-any-other-gateway',
    revoked: revoked.api_key,
    expired: expired.api_key,
    deleted: deleted.api_key,
    disabled: disabled.api_key,
  };
}

/** Puts the end of a key or server token into the past: the clock of the database decides, and a test cannot wait a day. */
export async function expireKey(rig: Rig, account: string, keyId: string): Promise<void> {
  const rows = await rig.sql(
    account,
    `update api_keys set expires_at = now() - interval '1 second' where account_id = $1 and id = $2 returning id`,
    [account, keyId],
  );
  if (rows.length !== 1) throw new Error(`no key ${keyId} to expire`);
}
