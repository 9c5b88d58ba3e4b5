// The things that REV-1 takes away: for each, a request that depends on it, how it is taken, and what the request must come to afterwards.
// Asserts nothing.
import type { RecordingUpstream } from '../../support/recording-upstream.ts';

/** One thing that is taken away: how a request that depends on it looks, how it is taken, and what the request must come to then. */
export interface Case {
  name: string;
  /** Makes what is taken away; answers the request that shows it. */
  prepare(to: Gateway): Promise<{ ask: Ask; take: () => Promise<unknown>; isGone: (answer: Seen) => boolean }>;
}
export type Ask = (base: string) => Promise<Seen>;
interface Seen {
  status: number;
  code: string | undefined;
  text: string;
}
export interface Gateway {
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape; each case says what it reads of one
  manage<T = any>(method: string, path: string, body?: unknown): Promise<T>;
  admin: string;
  upstreams: RecordingUpstream[];
}

let count = 0;
const fresh = (kind: string) => `${kind}${++count}`;

async function post(
  base: string,
  path: string,
  key: string | undefined,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Seen> {
  const response = await fetch(base + path, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key !== undefined && { authorization: `Bearer ${key}` }),
      ...headers,
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  const code = /"code":"([A-Za-z_]+)"/.exec(text.replaceAll('\\"', '"'))?.[1]?.toUpperCase();
  return { status: response.status, code, text };
}
const rpc = (method: string, params: object = {}) => ({ jsonrpc: '2.0', id: 1, method, params });
const who = (connectorId: string) =>
  rpc('tools/call', { name: 'execute_action_alloy', arguments: { connectorId, actionId: 'whoami' } });

export async function person({ manage }: Gateway) {
  const username = fresh('user');
  await manage('POST', '/users', { username });
  const secret = `v${count}`;
  await manage('POST', '/secrets/set', { username, serverName: 'demo', secretName: 'TOKEN', secretValue: secret });
  const key = await manage('POST', `/users/${username}/keys`, { key_name: 'k' });
  const server = await manage('POST', '/api/servers', { name: fresh('server') });
  const ask: Ask = (base) => post(base, `/mcp/${server.serverId}`, key.api_key, who('demo'));
  return { username, key, server, ask, secret };
}
const hasCode =
  (...codes: string[]) =>
  (answer: Seen) =>
    codes.includes(answer.code ?? '');
const hasStatus = (status: number) => (answer: Seen) => answer.status === status;

export const cases: Case[] = [
  {
    name: 'a revoked key',
    prepare: async (to) => {
      const { ask, key } = await person(to);
      return { ask, take: () => to.manage('POST', '/keys/revoke', { key_id: key.key_id }), isGone: hasStatus(401) };
    },
  },
  {
    name: 'a key deleted by its id',
    prepare: async (to) => {
      const { ask, key } = await person(to);
      return { ask, take: () => to.manage('DELETE', `/api/keys/${key.key_id}`), isGone: hasStatus(401) };
    },
  },
  {
    name: 'the keys of a disabled user',
    prepare: async (to) => {
      const { ask, username } = await person(to);
      return {
        ask,
        take: () => to.manage('PATCH', `/users/${username}/enable`, { enabled: false }),
        isGone: hasCode('USER_DISABLED'),
      };
    },
  },
  {
    name: 'calls for a disabled user by an admin',
    prepare: async (to) => {
      const { username, server } = await person(to);
      const ask: Ask = (base) =>
        post(base, `/mcp/${server.serverId}`, to.admin, who('demo'), { 'x-alloy-userid': username });
      return {
        ask,
        take: () => to.manage('PATCH', `/users/${username}/enable`, { enabled: false }),
        isGone: hasCode('USER_DISABLED'),
      };
    },
  },
  {
    name: 'a deleted user with its keys',
    prepare: async (to) => {
      const { ask, username } = await person(to);
      return { ask, take: () => to.manage('DELETE', `/users/${username}`), isGone: hasStatus(401) };
    },
  },
  {
    name: 'a deleted server behind its token',
    prepare: async (to) => {
      const { server, username } = await person(to);
      const ask: Ask = (base) =>
        post(base, new URL(server.accessUrl).pathname, undefined, who('demo'), { 'x-alloy-userid': username });
      return { ask, take: () => to.manage('DELETE', `/api/servers/${server.serverId}`), isGone: hasStatus(401) };
    },
  },
  {
    name: 'a deleted server behind a key',
    prepare: async (to) => {
      const { server, ask } = await person(to);
      return { ask, take: () => to.manage('DELETE', `/api/servers/${server.serverId}`), isGone: hasStatus(404) };
    },
  },
  {
    name: 'a rotated server token',
    prepare: async (to) => {
      const { server, username } = await person(to);
      const ask: Ask = (base) =>
        post(base, new URL(server.accessUrl).pathname, undefined, who('demo'), { 'x-alloy-userid': username });
      return {
        ask,
        take: () => to.manage('POST', `/api/servers/${server.serverId}/token`, {}),
        isGone: hasStatus(401),
      };
    },
  },
  {
    name: 'a deleted secret',
    prepare: async (to) => {
      const { ask, username } = await person(to);
      return {
        ask,
        take: () => to.manage('POST', '/secrets/delete', { username, serverName: 'demo', secretName: 'TOKEN' }),
        isGone: hasCode('CREDENTIALS_REQUIRED'),
      };
    },
  },
  {
    name: 'a changed secret',
    prepare: async (to) => {
      const { ask, username, secret } = await person(to);
      const secretValue = `w${count}`;
      const take = () =>
        to.manage('POST', '/secrets/set', { username, serverName: 'demo', secretName: 'TOKEN', secretValue });
      return {
        ask,
        take,
        isGone: ({ text }) => text.includes(`Bearer ${secretValue}`) && !text.includes(`Bearer ${secret}\\`),
      };
    },
  },
  {
    name: 'a deleted credential',
    prepare: async (to) => {
      const { ask, username } = await person(to);
      const { credentials } = await to.manage('GET', `/api/credentials?userId=${username}`);
      return {
        ask,
        take: () => to.manage('DELETE', `/api/credentials/${credentials[0].credentialId}`),
        isGone: hasCode('CREDENTIALS_REQUIRED'),
      };
    },
  },
  {
    name: 'an action that the server no longer allows',
    prepare: async (to) => {
      const { ask, server } = await person(to);
      const restrictions = { permissions: [{ connector: 'demo', mode: 'block', actions: ['whoami'] }] };
      return {
        ask,
        take: () => to.manage('PUT', `/api/servers/${server.serverId}`, { restrictions }),
        isGone: hasCode('FORBIDDEN'),
      };
    },
  },
  {
    name: 'a user that the server no longer admits',
    prepare: async (to) => {
      const { ask, server, username } = await person(to);
      const restrictions = { users: { mode: 'blocklist', blockedIds: [username] } };
      return {
        ask,
        take: () => to.manage('PUT', `/api/servers/${server.serverId}`, { restrictions }),
        isGone: hasCode('FORBIDDEN'),
      };
    },
  },
  {
    name: 'a connector that the user may no longer reach',
    prepare: async (to) => {
      const { ask, username } = await person(to);
      return {
        ask,
        take: () => to.manage('PUT', `/users/${username}/mcp-access`, { blocked_mcps: ['demo'] }),
        isGone: hasCode('FORBIDDEN'),
      };
    },
  },
  {
    name: 'a connector that is switched off',
    prepare: async (to) => {
      const { key, server } = await person(to);
      const connectorId = fresh('connector');
      await to.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: to.upstreams[0]?.url });
      const ask: Ask = (base) => post(base, `/mcp/${server.serverId}`, key.api_key, who(connectorId));
      return {
        ask,
        take: () => to.manage('PUT', `/api/connectors/${connectorId}`, { enabled: false }),
        isGone: hasCode('NOT_FOUND'),
      };
    },
  },
  {
    name: 'the address of a connector that moved',
    prepare: async (to) => {
      const { key, server } = await person(to);
      const connectorId = fresh('connector');
      await to.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: to.upstreams[0]?.url });
      const [, second] = to.upstreams;
      // The answer says which upstream gave it by the path that it was asked under.
      const ask: Ask = (base) => post(base, `/mcp/${server.serverId}`, key.api_key, who(connectorId));
      const take = () => to.manage('PUT', `/api/connectors/${connectorId}`, { url: `${second?.url}/moved` });
      return { ask, take, isGone: ({ text }) => text.includes('/moved') };
    },
  },
];

export const works = ({ status, text }: Seen) =>
  status === 200 && !text.includes('"isError":true') && !text.includes('"error"');

export async function setUp(manage: Gateway['manage'], upstreams: RecordingUpstream[]): Promise<void> {
  const inject = { headers: { authorization: 'Bearer {{TOKEN}}' } };
  await manage('POST', '/api/connectors', {
    connectorId: 'demo',
    kind: 'mcp-http',
    url: upstreams[0]?.url,
    secretNames: ['TOKEN'],
    inject,
  });
}
