// Samples of what an account manages: its servers, users, keys, trail, other accounts, and the gateway itself.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newKey, newServer, newUser } from './make.ts';
import type { KeyIds } from './samples-keys.ts';
import { type Samples, type Stage, unique } from './stage.ts';

type Nouns = 'servers' | 'users' | 'keys' | 'accounts' | 'settings' | 'system';

/** Samples of these stand in files of their own. */
type Elsewhere = KeyIds | 'users.signOut' | 'users.history' | 'users.getAccess' | 'users.replaceAccess';

const nowhere = 'nothing-here';

const inServer = (serverId: (stage: Stage) => string) => (stage: Stage) => ({ params: { serverId: serverId(stage) } });
const foreignServer = inServer(({ other }) => other.server.serverId);
const missingServer = inServer(() => nowhere);

const foreignUser = ({ other }: Stage) => ({ params: { username: other.alice.userId } });
const missingUser = () => ({ params: { username: 'usr_0123456789abcdefghij' } });

export const accountSamples: Pick<Samples, Exclude<Extract<RouteId, `${Nouns}.${string}`>, Elsewhere>> = {
  'servers.create': {
    valid: () => ({ body: { name: unique('server'), restrictions: { permissions: [] }, tokenExpiresInDays: 30 } }),
    invalid: { body: { name: 'x', tokenExpiresInDays: 366 }, path: 'tokenExpiresInDays' },
  },
  'servers.list': {
    valid: () => ({}),
    invalid: { query: { limit: 1001 }, path: 'limit' },
    add: newServer,
    idOf: 'serverId',
  },
  'servers.get': {
    valid: async (stage) => ({ params: { serverId: await newServer(stage) } }),
    masked: { server: { foreign: foreignServer, missing: missingServer } },
  },
  'servers.update': {
    valid: async (stage) => ({ params: { serverId: await newServer(stage) }, body: { description: unique('new') } }),
    invalid: { body: { mode: 'sideways' }, path: 'mode' },
    masked: {
      server: {
        foreign: (stage) => ({ ...foreignServer(stage), body: { description: 'mine now' } }),
        missing: (stage) => ({ ...missingServer(stage), body: { description: 'mine now' } }),
      },
    },
  },
  'servers.delete': {
    valid: async (stage) => ({ params: { serverId: await newServer(stage) } }),
    masked: { server: { foreign: foreignServer, missing: missingServer } },
  },
  'servers.rotateToken': {
    valid: async (stage) => ({ params: { serverId: await newServer(stage) }, body: { overlapSeconds: 60 } }),
    invalid: { body: { overlapSeconds: 86_401 }, path: 'overlapSeconds' },
    masked: { server: { foreign: foreignServer, missing: missingServer } },
  },
  'users.create': {
    valid: () => ({ body: { username: unique('user'), email: 'a@example.com', metadata: { plan: 'pro' } } }),
    invalid: { body: { username: 'usr_mine' }, path: 'username' },
  },
  'users.list': { valid: () => ({}), invalid: { query: { limit: 0 }, path: 'limit' }, add: newUser, idOf: 'username' },
  'users.get': {
    valid: async (stage) => ({ params: { username: await newUser(stage) } }),
    masked: { user: { foreign: foreignUser, missing: missingUser } },
    own: () => ({ params: { username: 'alice' } }),
    othersUser: { wire: () => ({ params: { username: 'bob' } }), status: 404 },
  },
  'users.delete': {
    valid: async (stage) => ({ params: { username: await newUser(stage) } }),
    masked: { user: { foreign: foreignUser, missing: missingUser } },
  },
  'users.setEnabled': {
    valid: async (stage) => ({ params: { username: await newUser(stage) }, body: { enabled: false } }),
    invalid: { body: { enabled: 'no' }, path: 'enabled' },
    masked: { user: { foreign: foreignUser, missing: missingUser } },
  },
  'users.setAccess': {
    valid: async (stage) => ({
      params: { username: await newUser(stage) },
      body: { allowed_mcps: ['demo'], blocked_mcps: [] },
    }),
    invalid: { body: { allowed_mcps: ['9 lives'] }, path: 'allowed_mcps.0' },
    masked: {
      user: {
        foreign: (stage) => ({ ...foreignUser(stage), body: { blocked_mcps: ['demo'] } }),
        missing: () => ({ ...missingUser(), body: { blocked_mcps: ['demo'] } }),
      },
    },
  },
  'keys.create': {
    valid: async (stage) => ({
      params: { username: await newUser(stage) },
      body: { key_name: unique('key'), ttl_days: 90 },
    }),
    invalid: { body: { key_name: 'k', ttl_days: 3651 }, path: 'ttl_days' },
    masked: {
      user: {
        foreign: (stage) => ({ ...foreignUser(stage), body: { key_name: 'mine' } }),
        missing: () => ({ ...missingUser(), body: { key_name: 'mine' } }),
      },
    },
  },
  'keys.revoke': {
    valid: async (stage) => ({ body: { key_id: await newKey(stage) } }),
    invalid: { body: { key_id: 'a', api_key: 'b' }, path: '' },
    masked: {
      id: {
        foreign: ({ other }) => ({ body: { key_id: other.alice.keyId } }),
        missing: () => ({ body: { key_id: 'key_0123456789abcdefghij' } }),
      },
      text: {
        foreign: ({ other }) => ({ body: { api_key: other.alice.key } }),
        missing: () => ({ body: { api_key: nowhere } }),
      },
    },
  },
  'keys.list': {
    valid: () => ({ query: { userId: 'alice' } }),
    invalid: { query: { offset: -1 }, path: 'offset' },
    masked: { user: maskedUser },
    add: newKey,
    idOf: 'keyId',
  },
  'keys.delete': {
    valid: async (stage) => ({ params: { keyId: await newKey(stage) } }),
    masked: {
      key: {
        foreign: ({ other }) => ({ params: { keyId: other.alice.keyId } }),
        missing: () => ({ params: { keyId: nowhere } }),
      },
    },
  },
  'accounts.create': {
    valid: () => ({ body: { name: unique('account') } }),
    invalid: { body: { name: ' ' }, path: 'name' },
  },
  'accounts.list': {
    valid: () => ({}),
    invalid: { query: { cursor: '' }, path: 'cursor' },
    add: async ({ rig }) => (await rig.manage('POST', '/api/accounts', { name: unique('account') })).accountId,
    idOf: 'accountId',
  },
  'settings.get': { valid: () => ({}) },
  'settings.update': {
    valid: () => ({
      body: { redirectUris: [`https://app.example.com/${unique('done')}`], webhookUrl: 'http://127.0.0.1:9/webhook' },
    }),
    invalid: {
      body: { redirectUris: ['https://app.example.com/done', 'http://app.example.com/done'] },
      path: 'redirectUris.1',
    },
  },
  'system.health': { valid: () => ({}) },
  'system.healthz': { valid: () => ({}) },
  'system.readyz': { valid: () => ({}) },
  'system.openapi': { valid: () => ({}) },
  'system.status': { valid: () => ({}) },
  'system.me': { valid: () => ({}), own: () => ({}), othersUser: null },
};
