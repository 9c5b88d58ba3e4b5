// Writers that change a gateway as fast as it answers and log, on their side, what was acknowledged. When the gateway dies they stop; what
// they know survives, because it lives in the test's process. Asserts nothing.
import { randomBytes } from 'node:crypto';

export interface ToolCall {
  key: string;
  marker: string;
  username: string;
  ms: number;
  /** The first answer: a success, a failure that says so, or none because the gateway was gone. */
  first: 'ok' | 'refused' | 'none';
}

/** What the gateway has said yes to. */
export interface Ledger {
  users: string[];
  deleted: string[];
  keys: { username: string; text: string }[];
  servers: { serverId: string; accessUrl: string }[];
  /** The newest acknowledged value of each secret, and those sent later without an answer. */
  secrets: Map<string, { acknowledged: string | undefined; later: string[] }>;
  calls: ToolCall[];
  /** Management requests with a key that had no answer: the same request is sent again later. */
  open: { key: string; username: string }[];
  /** Users for whom something was sent: deleting them would make its loss look right. */
  busy: Set<string>;
  /** Answers that no fault outside of the gateway explains. */
  odd: string[];
}

export const newLedger = (): Ledger => ({
  users: [],
  deleted: [],
  keys: [],
  servers: [],
  secrets: new Map(),
  calls: [],
  open: [],
  busy: new Set(),
  odd: [],
});

/** How many writes have been acknowledged. */
export const acknowledged = (ledger: Ledger): number =>
  ledger.users.length +
  ledger.deleted.length +
  ledger.keys.length +
  ledger.servers.length +
  ledger.calls.filter(({ first }) => first === 'ok').length;

export interface Reply {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape; whoever asks says what it reads of one
  body: any;
  replayed: boolean;
}

export type Send = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Reply | undefined>;

/** Requests to a gateway that may die: undefined when there is no whole answer. */
export function sender(url: string, key: string): Send {
  return async (method, path, body, headers) => {
    try {
      const response = await fetch(url + path, {
        method,
        headers: {
          authorization: `Bearer ${key}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        body: JSON.parse(text),
        replayed: response.headers.get('idempotent-replayed') === 'true',
      };
    } catch (error) {
      // No answer, or half of one: exactly what is measured.
      if (error instanceof TypeError || error instanceof SyntaxError) return undefined;
      throw error;
    }
  };
}

const name = (kind: string) => `${kind}${randomBytes(5).toString('hex')}`;
const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(Math.random() * list.length)];

export const toolCall = ({ marker, ms, username }: Pick<ToolCall, 'marker' | 'ms' | 'username'>) => ({
  username,
  serverName: 'demo',
  methodName: 'count',
  args: { marker, ms },
});

/** Runs writers until the gateway is gone or `signal` says so. */
export async function load(send: Send, ledger: Ledger, signal: AbortSignal): Promise<void> {
  const until = async (step: () => Promise<boolean>): Promise<void> => {
    while (!signal.aborted && (await step()));
  };
  const isOdd = (what: string, reply: Reply): boolean => {
    // A busy machine may make an upstream late; that is said, and is no fault of the gateway.
    if (reply.status < 500 || reply.status > 501) return false;
    ledger.odd.push(`${what}: ${reply.status} ${JSON.stringify(reply.body)}`);
    return true;
  };

  const createUsers = () =>
    until(async () => {
      const [username, key] = [name('u'), name('k')];
      const reply = await send('POST', '/users', { username }, { 'idempotency-key': key });
      if (reply === undefined) ledger.open.push({ key, username });
      else if (!isOdd('user', reply) && reply.status === 201) ledger.users.push(username);
      return reply !== undefined;
    });
  const deleteUsers = () =>
    until(async () => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      const at =
        ledger.users.length > 6
          ? ledger.users.findIndex((username) => !ledger.secrets.has(username) && !ledger.busy.has(username))
          : -1;
      if (at < 0) return true;
      const [username = ''] = ledger.users.splice(at, 1);
      const reply = await send('DELETE', `/users/${username}`);
      if (reply?.status === 200) ledger.deleted.push(username);
      return reply !== undefined;
    });
  const setSecrets = () =>
    until(async () => {
      const username = pick(ledger.users.slice(0, 12)) ?? 'default';
      const value = name('value-');
      const entry = ledger.secrets.get(username) ?? { acknowledged: undefined, later: [] };
      ledger.secrets.set(username, entry);
      entry.later.push(value);
      const reply = await send('POST', '/secrets/set', {
        username,
        serverName: 'demo',
        secretName: 'TOKEN',
        secretValue: value,
      });
      // Two writers may set one secret; only the order of the answers is known, so both values stay possible.
      if (reply?.status === 200) entry.acknowledged = value;
      if (reply !== undefined) isOdd('secret', reply);
      return reply !== undefined;
    });
  const createKeys = () =>
    until(async () => {
      await new Promise((resolve) => setTimeout(resolve, 15));
      const username = ledger.users.at(-1 - ledger.keys.length) ?? pick(ledger.users);
      if (username === undefined) return true;
      ledger.busy.add(username);
      const reply = await send('POST', `/users/${username}/keys`, { key_name: 'k' });
      if (reply?.status === 201) ledger.keys.push({ username, text: reply.body.api_key });
      if (reply !== undefined) isOdd('key', reply);
      return reply !== undefined;
    });
  const createServers = () =>
    until(async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      const reply = await send('POST', '/api/servers', { name: name('s') });
      if (reply?.status === 201)
        ledger.servers.push({ serverId: reply.body.serverId, accessUrl: reply.body.accessUrl });
      if (reply !== undefined) isOdd('server', reply);
      return reply !== undefined;
    });
  const callTools = () =>
    until(async () => {
      const call: ToolCall = {
        key: name('key'),
        marker: name('m'),
        username: 'default',
        ms: Math.random() < 0.5 ? 0 : Math.floor(Math.random() * 60),
        first: 'none',
      };
      ledger.calls.push(call);
      const reply = await send('POST', '/mcp/tool/call', toolCall(call), { 'idempotency-key': call.key });
      if (reply !== undefined && !isOdd('call', reply)) call.first = reply.status === 200 ? 'ok' : 'refused';
      return reply !== undefined;
    });
  await Promise.all([
    createUsers(),
    createUsers(),
    deleteUsers(),
    setSecrets(),
    createKeys(),
    createServers(),
    callTools(),
    callTools(),
    callTools(),
  ]);
}
