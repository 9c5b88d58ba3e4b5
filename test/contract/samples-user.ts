// Samples of what users have and do: connectors to reach, credentials and secrets, calls.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newConnector, newCredential, newLink, newOAuthConnector } from './make.ts';
import { type Samples, type Stage, unique } from './stage.ts';

type Nouns = 'secrets' | 'tools' | 'connectors' | 'credentials';

const nowhere = 'nothing-here';
const noUser = 'nobody-here';

const foreignCredential = ({ other }: Stage) => ({ params: { credentialId: other.alice.credentialId } });
const missingCredential = () => ({ params: { credentialId: nowhere } });

/** Connectors have the same ids in both accounts, so the foreign one gets an id of its own. */
const foreignConnector = async (stage: Stage) => ({
  params: { connectorId: await newConnector(stage, stage.other.admin) },
});
const missingConnector = () => ({ params: { connectorId: nowhere } });
const aConnector = async (stage: Stage) => ({ params: { connectorId: await newConnector(stage) } });

const aSecret = (username?: string) => ({
  ...(username !== undefined && { username }),
  serverName: 'demo',
  secretName: unique('S').replaceAll('-', '_'),
});

export const userSamples: Pick<Samples, Extract<RouteId, `${Nouns}.${string}`>> = {
  'secrets.set': {
    valid: () => ({ body: { ...aSecret('alice'), secretValue: unique('value') } }),
    invalid: { body: { serverName: 'demo', secretName: '__proto__', secretValue: 'v' }, path: 'secretName' },
    masked: {
      user: {
        foreign: ({ other }) => ({ body: { ...aSecret(other.alice.userId), secretValue: 'v-123456' } }),
        missing: () => ({ body: { ...aSecret(noUser), secretValue: 'v-123456' } }),
      },
    },
    own: () => ({ body: { ...aSecret(), secretValue: unique('value') } }),
    othersUser: { wire: () => ({ body: { ...aSecret('bob'), secretValue: 'v-123456' } }), status: 403 },
  },
  'secrets.delete': {
    valid: async (stage) => {
      const body = aSecret('alice');
      await stage.rig.manage('POST', '/secrets/set', { ...body, secretValue: 'v-123456' });
      return { body };
    },
    invalid: { body: { serverName: 'demo' }, path: 'secretName' },
    masked: {
      user: {
        foreign: ({ other }) => ({ body: aSecret(other.alice.userId) }),
        missing: () => ({ body: aSecret(noUser) }),
      },
    },
    own: async (stage) => {
      const body = aSecret();
      await stage.rig.manage('POST', '/secrets/set', { ...body, secretValue: 'v-123456' }, stage.home.alice.key);
      return { body };
    },
    othersUser: { wire: () => ({ body: { username: 'bob', serverName: 'demo', secretName: 'TOKEN' } }), status: 403 },
  },
  'secrets.list': {
    valid: () => ({ query: { username: 'alice', serverName: 'demo' } }),
    invalid: { query: { serverName: '9 lives' }, path: 'serverName' },
    masked: {
      user: {
        foreign: ({ other }) => ({ query: { username: other.alice.userId, serverName: 'demo' } }),
        missing: () => ({ query: { username: noUser, serverName: 'demo' } }),
      },
    },
    own: () => ({ query: { serverName: 'demo' } }),
    othersUser: { wire: () => ({ query: { username: 'bob', serverName: 'demo' } }), status: 403 },
  },
  'tools.call': {
    valid: () => ({
      body: { username: 'alice', serverName: 'demo', methodName: 'echo', args: { text: unique('hello') } },
    }),
    invalid: { body: { serverName: 'demo', methodName: 'echo', args: [] }, path: 'args' },
    masked: {
      user: {
        foreign: ({ other }) => ({ body: { username: other.alice.userId, serverName: 'demo', methodName: 'echo' } }),
        missing: () => ({ body: { username: noUser, serverName: 'demo', methodName: 'echo' } }),
      },
      connector: {
        foreign: async (stage) => ({
          body: { serverName: await newConnector(stage, stage.other.admin), methodName: 'echo' },
        }),
        missing: () => ({ body: { serverName: nowhere, methodName: 'echo' } }),
      },
    },
    own: () => ({ body: { serverName: 'demo', methodName: 'whoami' } }),
    othersUser: { wire: () => ({ body: { username: 'bob', serverName: 'demo', methodName: 'whoami' } }), status: 403 },
  },
  'connectors.create': {
    valid: ({ upstream }) => ({
      body: { connectorId: unique('c'), kind: 'mcp-http', url: upstream.url, category: ['test'] },
    }),
    invalid: {
      body: { connectorId: 'c', kind: 'mcp-http', url: 'http://127.0.0.1:9/', timeoutMs: 999 },
      path: 'timeoutMs',
    },
  },
  'connectors.list': {
    valid: () => ({}),
    invalid: { query: { limit: 'many' }, path: 'limit' },
    add: newConnector,
    idOf: 'connectorId',
  },
  'connectors.get': {
    valid: aConnector,
    invalid: { query: { userId: '-' }, path: 'userId' },
    masked: {
      connector: { foreign: foreignConnector, missing: missingConnector },
      user: {
        foreign: (stage) => ({ params: { connectorId: 'demo' }, ...maskedUser.foreign(stage) }),
        missing: () => ({ params: { connectorId: 'demo' }, ...maskedUser.missing() }),
      },
    },
  },
  'connectors.update': {
    valid: async (stage) => ({ ...(await aConnector(stage)), body: { description: unique('new') } }),
    invalid: { body: { enabled: 'yes' }, path: 'enabled' },
    masked: {
      connector: {
        foreign: async (stage) => ({ ...(await foreignConnector(stage)), body: { enabled: false } }),
        missing: () => ({ ...missingConnector(), body: { enabled: false } }),
      },
    },
  },
  'connectors.delete': {
    valid: aConnector,
    masked: { connector: { foreign: foreignConnector, missing: missingConnector } },
  },
  'connectors.refresh': {
    valid: async (stage) => ({ ...(await aConnector(stage)), query: { userId: 'alice' } }),
    invalid: { query: { userId: '-' }, path: 'userId' },
    masked: { connector: { foreign: foreignConnector, missing: missingConnector } },
  },
  'connectors.actions': {
    valid: () => ({ params: { connectorId: 'demo' }, query: { userId: 'alice' } }),
    invalid: { query: { userId: '-' }, path: 'userId' },
    masked: { connector: { foreign: foreignConnector, missing: missingConnector } },
  },
  'credentials.create': {
    valid: async (stage) => ({
      body: {
        userId: 'alice',
        connectorId: await newOAuthConnector(stage),
        authenticationType: 'oauth2',
        fields: { TOKEN: unique('value') },
        credentialId: unique('cred'),
      },
    }),
    invalid: { body: { connectorId: 'demo', authenticationType: 'password' }, path: 'authenticationType' },
    masked: {
      user: {
        foreign: ({ other }) => ({
          body: { userId: other.alice.userId, connectorId: 'demo', authenticationType: 'secrets' },
        }),
        missing: () => ({ body: { userId: noUser, connectorId: 'demo', authenticationType: 'secrets' } }),
      },
      connector: {
        foreign: async (stage) => ({
          body: {
            userId: 'alice',
            connectorId: await newConnector(stage, stage.other.admin),
            authenticationType: 'secrets',
          },
        }),
        missing: () => ({ body: { userId: 'alice', connectorId: nowhere, authenticationType: 'secrets' } }),
      },
    },
    own: () => ({ body: { connectorId: 'demo', authenticationType: 'api_key', fields: { TOKEN: unique('value') } } }),
    othersUser: {
      wire: () => ({ body: { userId: 'bob', connectorId: 'demo', authenticationType: 'secrets' } }),
      status: 403,
    },
  },
  'credentials.connect': {
    valid: async (stage) => ({ params: { credentialId: await newCredential(stage) } }),
    invalid: { body: { redirectUri: '' }, path: 'redirectUri' },
    masked: { credential: { foreign: foreignCredential, missing: missingCredential } },
    own: ({ home }) => ({ params: { credentialId: home.alice.credentialId } }),
    othersUser: { wire: ({ home }) => ({ params: { credentialId: home.bob.credentialId } }), status: 404 },
  },
  'credentials.ticket': {
    valid: async (stage) => ({ body: { connectUrl: await newLink(stage), userId: 'alice' } }),
    invalid: { body: { connectUrl: '', userId: 'alice' }, path: 'connectUrl' },
    masked: {
      user: {
        foreign: async (stage) => ({ body: { connectUrl: await newLink(stage), userId: stage.other.alice.userId } }),
        missing: async (stage) => ({ body: { connectUrl: await newLink(stage), userId: noUser } }),
      },
      link: {
        foreign: async (stage) => ({
          body: { connectUrl: await newLink(stage, stage.other.admin), userId: 'alice' },
        }),
        missing: async (stage) => ({
          body: { connectUrl: (await newLink(stage)).replace(/.{43}$/, 'A'.repeat(43)), userId: 'alice' },
        }),
      },
    },
  },
  'credentials.list': {
    valid: () => ({ query: { userId: 'alice', connectorId: 'demo' } }),
    invalid: { query: { connectorId: '' }, path: 'connectorId' },
    masked: { user: maskedUser },
    own: () => ({}),
    othersUser: { wire: () => ({ query: { userId: 'bob' } }), status: 403 },
    add: newCredential,
    idOf: 'credentialId',
  },
  'credentials.get': {
    valid: async (stage) => ({ params: { credentialId: await newCredential(stage) } }),
    masked: { credential: { foreign: foreignCredential, missing: missingCredential } },
    own: ({ home }) => ({ params: { credentialId: home.alice.credentialId } }),
    othersUser: { wire: ({ home }) => ({ params: { credentialId: home.bob.credentialId } }), status: 404 },
  },
  'credentials.update': {
    valid: async (stage) => ({
      params: { credentialId: await newCredential(stage) },
      body: { label: unique('label'), fields: { TOKEN: unique('value') } },
    }),
    invalid: { body: { fields: { '9': 'x' } }, path: 'fields.9' },
    masked: {
      credential: {
        foreign: (stage) => ({ ...foreignCredential(stage), body: { label: 'mine' } }),
        missing: () => ({ ...missingCredential(), body: { label: 'mine' } }),
      },
    },
    own: ({ home }) => ({ params: { credentialId: home.alice.credentialId }, body: { label: unique('label') } }),
    othersUser: {
      wire: ({ home }) => ({ params: { credentialId: home.bob.credentialId }, body: { label: 'mine' } }),
      status: 404,
    },
  },
  'credentials.delete': {
    valid: async (stage) => ({ params: { credentialId: await newCredential(stage) } }),
    masked: { credential: { foreign: foreignCredential, missing: missingCredential } },
    own: async (stage) => ({ params: { credentialId: await newCredential(stage) } }),
    othersUser: { wire: ({ home }) => ({ params: { credentialId: home.bob.credentialId } }), status: 404 },
  },
};
