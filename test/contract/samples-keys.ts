// Samples of keys as they are changed and replaced, of delegated tokens, of other accounts, and of the end of a user.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newKey, newUser } from './make.ts';
import { type Samples, type Stage, unique } from './stage.ts';

export type KeyIds =
  | Extract<RouteId, `tokens.${string}`>
  | 'keys.get'
  | 'keys.update'
  | 'keys.rotate'
  | 'accounts.get'
  | 'accounts.update'
  | 'accounts.delete'
  | 'users.offboard';

const nowhere = 'nothing-here';
const foreignKey = ({ other }: Stage) => ({ params: { keyId: other.alice.keyId } });
const missingKey = () => ({ params: { keyId: nowhere } });

const newToken = async ({ rig }: Stage, key = rig.admin): Promise<string> =>
  (await rig.manage('POST', '/api/tokens', { userId: 'alice' }, key)).tokenId;
const tokenOf = {
  foreign: async (stage: Stage) => ({ params: { tokenId: await newToken(stage, stage.other.admin) } }),
  missing: () => ({ params: { tokenId: nowhere } }),
};
const newAccount = async ({ rig }: Stage): Promise<string> =>
  (await rig.manage('POST', '/api/accounts', { name: unique('account') })).accountId;
/** The operator sees every account: there are only those that exist and those that do not. */
const noAccount = {
  account: {
    foreign: () => ({ params: { accountId: '*' } }),
    missing: () => ({ params: { accountId: nowhere } }),
  },
};

export const keySamples: Pick<Samples, KeyIds> = {
  'keys.get': {
    valid: async (stage) => ({ params: { keyId: await newKey(stage) } }),
    masked: { key: { foreign: foreignKey, missing: missingKey } },
  },
  'keys.update': {
    valid: async (stage) => ({
      params: { keyId: await newKey(stage) },
      body: { name: unique('key'), scopes: ['tools:call', 'secrets:*'], expiresAt: '2100-01-01T00:00:00.000Z' },
    }),
    invalid: { body: { scopes: ['two words'] }, path: 'scopes.0' },
    masked: {
      key: {
        foreign: (stage) => ({ ...foreignKey(stage), body: { name: 'mine' } }),
        missing: () => ({ ...missingKey(), body: { name: 'mine' } }),
      },
    },
  },
  'keys.rotate': {
    valid: async (stage) => ({ params: { keyId: await newKey(stage) }, body: { overlapSeconds: 60 } }),
    invalid: { body: { overlapSeconds: -1 }, path: 'overlapSeconds' },
    masked: { key: { foreign: foreignKey, missing: missingKey } },
  },
  'tokens.create': {
    valid: ({ home }) => ({
      body: {
        userId: 'alice',
        label: unique('browser'),
        servers: [home.server.serverId],
        permissions: [{ connector: 'demo', mode: 'allow', actions: ['echo', 'who*'] }],
        scopes: ['orders:read'],
        ttlSeconds: 60,
        maxCalls: 5,
      },
    }),
    invalid: { body: { userId: 'alice', ttlSeconds: 86_401 }, path: 'ttlSeconds' },
    masked: {
      user: {
        foreign: ({ other }) => ({ body: { userId: other.alice.userId } }),
        missing: () => ({ body: { userId: 'usr_0123456789abcdefghij' } }),
      },
      server: {
        foreign: ({ other }) => ({ body: { userId: 'alice', servers: [other.server.serverId] } }),
        missing: () => ({ body: { userId: 'alice', servers: [nowhere] } }),
      },
    },
  },
  'tokens.list': {
    valid: () => ({ query: { userId: 'alice' } }),
    invalid: { query: { limit: 0 }, path: 'limit' },
    masked: { user: maskedUser },
    add: newToken,
    idOf: 'tokenId',
  },
  'tokens.get': {
    valid: async (stage) => ({ params: { tokenId: await newToken(stage) } }),
    masked: { token: tokenOf },
  },
  'tokens.delete': {
    valid: async (stage) => ({ params: { tokenId: await newToken(stage) } }),
    masked: { token: tokenOf },
  },
  'accounts.get': {
    valid: async (stage) => ({ params: { accountId: await newAccount(stage) } }),
    masked: noAccount,
  },
  'accounts.update': {
    valid: async (stage) => ({
      params: { accountId: await newAccount(stage) },
      body: { name: unique('account'), enabled: false, callsPerMinute: 60 },
    }),
    invalid: { body: { callsPerMinute: 0 }, path: 'callsPerMinute' },
    masked: {
      account: {
        foreign: () => ({ params: { accountId: '*' }, body: { callsPerMinute: 1 } }),
        missing: () => ({ params: { accountId: nowhere }, body: { callsPerMinute: 1 } }),
      },
    },
  },
  'accounts.delete': {
    valid: async (stage) => {
      const accountId = await newAccount(stage);
      await stage.rig.manage('PATCH', `/api/accounts/${accountId}`, { enabled: false });
      return { params: { accountId } };
    },
    masked: noAccount,
  },
  'users.offboard': {
    valid: async (stage) => ({ params: { username: await newUser(stage) } }),
    masked: {
      user: {
        foreign: ({ other }) => ({ params: { username: other.alice.userId } }),
        missing: () => ({ params: { username: 'usr_0123456789abcdefghij' } }),
      },
    },
  },
};
