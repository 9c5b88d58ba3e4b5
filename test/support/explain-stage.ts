// A gateway whose rules change at random, with callers of every kind: what `explain` says can be asked and then done for real.
// Asserts nothing; the changes come from one seed.
import { createServer } from 'node:http';
import { addFixtures, canary, demoConnector, type Fixtures, type Json, type Rig, startRig } from './gateway.ts';
import { closeServer, listenOnLoopback } from './loopback.ts';
import type { Chance } from './policy-rules.ts';

export const usernames = ['ada', 'ben', 'cleo', 'dan'];
export const connectors = ['alpha', 'beta', 'shop'];
const actions: Record<string, string[]> = {
  alpha: ['whoami', 'echo', 'add'],
  beta: ['whoami', 'echo', 'add'],
  shop: ['getItem', 'listItems'],
};
const allActions = [...new Set(Object.values(actions).flat())];
const scopes = ['people:read', 'texts:write', 'shop:read'];

const shopDocument = {
  openapi: '3.0.3',
  info: { title: 'Shop', version: '1' },
  paths: {
    '/items/{id}': {
      get: {
        operationId: 'getItem',
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer', minimum: 1 } }],
        responses: { 200: { description: 'ok' } },
      },
    },
    '/items': { get: { operationId: 'listItems', responses: { 200: { description: 'ok' } } } },
  },
};

export interface Caller {
  /** How explain is told of it. */
  question: Json;
  key: string;
  headers: Record<string, string>;
  /** A user token opens servers, not the direct tool call. */
  isUserToken: boolean;
}

export interface ExplainStage {
  rig: Rig;
  servers: readonly string[];
  change(): Promise<void>;
  /** Rules that a server could be given. */
  restrictions(): Json;
  caller(): Caller;
  target(): { connectorId: string; action: string; arguments: Json; credentialId?: string };
  close(): Promise<void>;
}

/** What the embedding application's sign-in takes for a token: its own claims, readable. */
const sessionToken = (facts: Json): string => `session.${Buffer.from(JSON.stringify(facts)).toString('base64url')}`;

export async function startExplainStage(chance: Chance): Promise<ExplainStage> {
  const rig = await startRig({
    env: { VALET_RATE_LIMIT: '1000000', VALET_LIST_RATE_LIMIT: '1000000', VALET_CONCURRENT_CALLS: '10000' },
    verifyToken: async (token: string) => {
      const [kind, facts] = token.split('.');
      return kind === 'session' && facts ? JSON.parse(Buffer.from(facts, 'base64url').toString('utf8')) : null;
    },
  });
  const fixtures: Fixtures = await addFixtures(rig);
  const shop = createServer((_request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end('{"ok":true}');
  });
  const shopUrl = `http://127.0.0.1:${await listenOnLoopback(shop)}`;
  const { manage } = rig;

  await manage('POST', '/api/connectors', demoConnector(fixtures.upstream.url, 'alpha'));
  await manage('POST', '/api/connectors', { ...demoConnector(fixtures.upstream.url, 'beta'), allowShared: true });
  await manage('POST', '/api/connectors', {
    connectorId: 'shop',
    kind: 'http',
    openapi: shopDocument,
    baseUrl: shopUrl,
  });
  const keys: { keyId: string; text: string; username: string | null }[] = [];
  for (const username of usernames) {
    await manage('POST', '/users', { username });
    const { key_id, api_key } = await manage('POST', `/users/${username}/keys`, { key_name: username });
    keys.push({ keyId: key_id, text: api_key, username });
  }
  const groups: string[] = [];
  for (const [at, name] of ['one', 'two', 'three'].entries())
    groups.push((await manage('POST', '/api/groups', { name, userIds: usernames.slice(at, at + 2) })).groupId);
  const servers: string[] = [];
  for (const body of [
    { name: 'meta' },
    { name: 'some', connectors: ['alpha', 'shop'], onUnknownUser: 'fallback' },
    { name: 'direct', mode: 'direct' },
  ])
    servers.push((await manage('POST', '/api/servers', body)).serverId);
  const credentials: string[] = [];
  const limits: string[] = [];

  const permissions = () =>
    Array.from({ length: chance.below(3) }, () => ({
      connector: chance.pick(connectors),
      mode: chance.pick(['allow', 'allow', 'block']),
      actions: chance.some([...allActions, '*', 'e*', 'get*'], 3),
    }));
  const access = () =>
    chance.is(0.5)
      ? {}
      : {
          allowed: chance.is(0.3) ? chance.some(connectors, 3) : [],
          blocked: chance.is(0.2) ? chance.some(connectors, 1) : [],
          permissions: chance.is(0.5) ? permissions() : [],
        };
  const restrictions = () =>
    chance.is(0.5)
      ? {}
      : {
          ...(chance.is(0.4) && { users: { mode: 'blocklist', blockedIds: chance.some(usernames, 2) } }),
          ...(chance.is(0.5) && { permissions: permissions() }),
          ...(chance.is(0.3) && { actions: { mode: 'blocklist', blockedActions: chance.some(allActions, 2) } }),
        };
  const requires = (isServer: boolean) =>
    chance.is(0.5)
      ? null
      : [
          {
            ...(isServer && chance.is(0.5) && { connector: chance.pick(connectors) }),
            actions: [chance.pick([...allActions, '*', 'e*'])],
            ...(chance.is(0.7) && { scopes: chance.some(scopes, 2) }),
            ...(chance.is(0.3) && { claims: [{ claim: 'org.role', oneOf: ['admin', 'owner'] }] }),
          },
        ];

  const changes: (() => Promise<unknown>)[] = [
    () => manage('PUT', `/api/users/${chance.pick(usernames)}/access`, access()),
    () => manage('PATCH', `/api/groups/${chance.pick(groups)}`, { access: access() }),
    () => manage('PATCH', `/api/groups/${chance.pick(groups)}`, { access: access() }),
    () => manage('PUT', `/api/groups/${chance.pick(groups)}/members/${chance.pick(usernames)}`),
    () =>
      rig.send(`/api/groups/${chance.pick(groups)}/members/${chance.pick(usernames)}`, {
        method: 'DELETE',
        key: rig.admin,
      }),
    () => manage('PUT', `/api/servers/${chance.pick(servers)}`, { restrictions: restrictions() }),
    () => manage('PUT', `/api/servers/${chance.pick(servers)}`, { requires: requires(true) }),
    () => manage('PUT', `/api/connectors/${chance.pick(connectors)}`, { requires: requires(false) }),
    () => manage('PUT', `/api/connectors/shop`, { enabled: chance.is(0.8) }),
    () => manage('PATCH', `/users/${chance.pick(usernames)}/enable`, { enabled: chance.is(0.9) }),
    async () => {
      const shared = chance.is(0.6);
      const made = await manage('POST', '/api/credentials', {
        userId: chance.pick(usernames),
        connectorId: chance.pick(['alpha', 'beta']),
        authenticationType: 'secrets',
        fields: { [chance.is(0.9) ? 'TOKEN' : 'OTHER']: canary('explain') },
        ...(shared && { shared, ...(chance.is(0.6) && { groupIds: [chance.pick(groups)] }) }),
      });
      credentials.push(made.credentialId);
    },
    async () => {
      if (credentials.length > 3) await manage('DELETE', `/api/credentials/${credentials.splice(chance.below(3), 1)}`);
    },
    async () => {
      const connectorId = chance.is(0.5) ? chance.pick(connectors) : undefined;
      const made = await manage('POST', '/api/limits', {
        ...(chance.is(0.5) && { userId: chance.pick(usernames) }),
        ...(chance.is(0.3) && { groupId: chance.pick(groups) }),
        ...(chance.is(0.3) && { serverId: chance.pick(servers) }),
        ...(connectorId !== undefined && { connectorId }),
        ...(connectorId !== undefined && chance.is(0.3) && { action: chance.pick(actions[connectorId] as string[]) }),
        max: chance.below(5),
        window: chance.pick([3600, 'day']),
        shared: chance.is(0.3),
      });
      limits.push(made.limitId);
    },
    async () => {
      for (const id of limits.splice(0, 3)) await manage('DELETE', `/api/limits/${id}`);
    },
    async () => {
      const username = chance.pick(usernames);
      const answer = await rig.send('/api/tokens', {
        key: rig.admin,
        body: {
          userId: username,
          ...(chance.is(0.4) && { servers: [chance.pick(servers)] }),
          ...(chance.is(0.5) && { permissions: permissions() }),
          ...(chance.is(0.5) && { scopes: chance.some([...scopes, 'people:*', '*'], 2) }),
          ...(chance.is(0.3) && { maxCalls: 1 + chance.below(3) }),
        },
      });
      // A disabled user gets none.
      if (answer.status === 201) keys.push({ keyId: answer.body.tokenId, text: answer.body.token, username });
    },
    async () => {
      if (keys.filter(({ username }) => username === null).length >= 15) return;
      const { key_id, api_key } = await manage('POST', '/users/default/keys', {
        key_name: 'narrow',
        kind: 'enterprise',
        scopes: chance.pick([['tools:call'], ['servers:read'], ['tools:*', 'people:read'], ['*']]),
        ...(chance.is(0.4) && {
          allowed_users: chance.shuffled(usernames).slice(0, 1 + chance.below(2)),
        }),
      });
      keys.push({ keyId: key_id, text: api_key, username: null });
    },
  ];

  // Something to begin with: a stage where nothing can be called shows nothing.
  for (const userId of usernames.slice(0, 3))
    for (const connectorId of ['alpha', 'beta'])
      await manage('POST', '/api/credentials', {
        userId,
        connectorId,
        authenticationType: 'secrets',
        fields: { TOKEN: canary('explain') },
      });

  const named = (): string => (chance.is(0.03) ? 'nobody' : chance.pick(usernames));
  const caller = (): Caller => {
    if (chance.is(0.3)) {
      const username = named();
      const isNamed = chance.is(0.9);
      return {
        question: isNamed ? { userId: username } : {},
        key: rig.admin,
        headers: isNamed ? { 'x-alloy-userid': username } : {},
        isUserToken: false,
      };
    }
    if (chance.is(0.3)) {
      const user = chance.pick(usernames);
      const held = chance.some([...scopes, 'people:*'], 3);
      const claims = chance.is(0.5) ? { org: { role: chance.pick(['admin', 'member', ['member', 'owner']]) } } : {};
      return {
        question: { userId: user, scopes: held, claims },
        key: sessionToken({ user, scopes: held, claims }),
        headers: {},
        isUserToken: true,
      };
    }
    // The newest ones more often: they were made for the rules of now.
    const { keyId, text, username } = keys[
      keys.length - 1 - chance.below(Math.min(keys.length, 8))
    ] as (typeof keys)[0];
    const name = username === null ? named() : chance.is(0.08) ? chance.pick(usernames) : undefined;
    return {
      question: { keyId, ...(name !== undefined && { userId: name }) },
      key: text,
      headers: name === undefined ? {} : { 'x-alloy-userid': name },
      isUserToken: false,
    };
  };

  return {
    rig,
    servers,
    change: async () => {
      await chance.pick(changes)();
    },
    restrictions,
    caller,
    target() {
      const connectorId = chance.is(0.04) ? 'nowhere' : chance.pick(connectors);
      const action = chance.is(0.05) ? 'nosuch' : chance.pick(actions[connectorId] ?? allActions);
      const credentialId = chance.is(0.1)
        ? chance.is(0.3)
          ? 'nothing'
          : chance.pick([...credentials, 'nothing'])
        : undefined;
      return {
        connectorId,
        action,
        arguments:
          action === 'add'
            ? { a: 1, b: 2 }
            : action === 'getItem'
              ? chance.pick([{ id: 7 }, { id: 'seven' }, {}, { id: 0 }])
              : action === 'echo'
                ? { text: 'hi' }
                : {},
        ...(credentialId !== undefined && { credentialId }),
      };
    },
    async close() {
      await rig.close();
      await fixtures.close();
      await closeServer(shop);
    },
  };
}
