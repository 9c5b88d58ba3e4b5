// Samples of groups, of what users may reach, and of the question what a call would come to.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newUser } from './make.ts';
import { type Samples, type Stage, unique } from './stage.ts';

type Ids = Extract<RouteId, `${'groups' | 'policy'}.${string}`> | 'users.getAccess' | 'users.replaceAccess';

const nowhere = 'grp_0123456789abcdefghijkl';
const nobody = 'usr_0123456789abcdefghij';

const newGroup = async ({ rig }: Stage, key = rig.admin): Promise<string> =>
  (await rig.manage('POST', '/api/groups', { name: unique('group') }, key)).groupId;
const inGroup = async (stage: Stage) => ({ params: { groupId: await newGroup(stage) } });
const foreign = async (stage: Stage) => ({ params: { groupId: await newGroup(stage, stage.other.admin) } });
const missing = () => ({ params: { groupId: nowhere } });

async function newMembership(stage: Stage): Promise<{ groupId: string; userId: string }> {
  const [groupId, userId] = [await newGroup(stage), await newUser(stage)];
  await stage.rig.manage('PUT', `/api/groups/${groupId}/members/${userId}`);
  return { groupId, userId };
}
const maskedMember = {
  group: {
    foreign: async (stage: Stage) => ({
      params: { groupId: await newGroup(stage, stage.other.admin), userId: 'alice' },
    }),
    missing: () => ({ params: { groupId: nowhere, userId: 'alice' } }),
  },
  user: {
    foreign: async (stage: Stage) => ({ params: { groupId: await newGroup(stage), userId: stage.other.alice.userId } }),
    missing: async (stage: Stage) => ({ params: { groupId: await newGroup(stage), userId: nobody } }),
  },
};
/** A group of the account whose members are listed: one that each sample of the list shares. */
const listed = new WeakMap<Stage, string>();
async function listedGroup(stage: Stage): Promise<string> {
  const groupId = listed.get(stage) ?? (await newGroup(stage));
  listed.set(stage, groupId);
  return groupId;
}

const rules = { allowed: ['demo'], permissions: [{ connector: 'demo', mode: 'block' as const, actions: ['echo*'] }] };
const ofUser = (username: string) => ({ params: { username } });

const drafted = (serverId: string) => ({ serverId, draft: { restrictions: { users: allowing('alice') } } });
const allowing = (...allowedIds: string[]) => ({ mode: 'allowlist' as const, allowedIds });
const questions = [
  { userId: 'alice', connectorId: 'demo', action: 'echo' },
  { userId: 'bob', connectorId: 'demo', action: 'echo' },
];

export const policySamples: Pick<Samples, Ids> = {
  'groups.create': {
    valid: async (stage) => ({
      body: { name: unique('group'), access: rules, userIds: [await newUser(stage)] },
    }),
    invalid: {
      body: { name: 'g', access: { permissions: [{ connector: 'demo', mode: 'deny', actions: [] }] } },
      path: 'access.permissions.0.mode',
    },
    masked: {
      user: {
        foreign: ({ other }) => ({ body: { name: unique('group'), userIds: [other.alice.userId] } }),
        missing: () => ({ body: { name: unique('group'), userIds: [nobody] } }),
      },
    },
  },
  'groups.list': {
    valid: () => ({}),
    invalid: { query: { limit: 1001 }, path: 'limit' },
    masked: { user: maskedUser },
    add: newGroup,
    idOf: 'groupId',
  },
  'groups.get': { valid: inGroup, masked: { group: { foreign, missing } } },
  'groups.update': {
    valid: async (stage) => ({ ...(await inGroup(stage)), body: { description: 'new', access: rules } }),
    invalid: { body: { name: '' }, path: 'name' },
    masked: {
      group: {
        foreign: async (stage) => ({ ...(await foreign(stage)), body: { description: 'mine now' } }),
        missing: () => ({ ...missing(), body: { description: 'mine now' } }),
      },
    },
  },
  'groups.delete': { valid: inGroup, masked: { group: { foreign, missing } } },
  'groups.members': {
    valid: async (stage) => ({ params: { groupId: await listedGroup(stage) } }),
    invalid: { query: { limit: 0 }, path: 'limit' },
    masked: { group: { foreign, missing } },
    add: async (stage) => {
      const [groupId, username] = [await listedGroup(stage), await newUser(stage)];
      await stage.rig.manage('PUT', `/api/groups/${groupId}/members/${username}`);
      return username;
    },
    idOf: 'username',
  },
  'groups.addMember': {
    valid: async (stage) => ({ params: { groupId: await newGroup(stage), userId: await newUser(stage) } }),
    masked: maskedMember,
  },
  'groups.removeMember': { valid: async (stage) => ({ params: await newMembership(stage) }), masked: maskedMember },
  'users.getAccess': {
    valid: async (stage) => ofUser(await newUser(stage)),
    masked: { user: { foreign: ({ other }) => ofUser(other.alice.userId), missing: () => ofUser(nobody) } },
    own: () => ofUser('alice'),
    othersUser: { wire: () => ofUser('bob'), status: 404 },
  },
  'users.replaceAccess': {
    valid: async (stage) => ({ ...ofUser(await newUser(stage)), body: rules }),
    invalid: { body: { allowed: ['9 lives'] }, path: 'allowed.0' },
    masked: {
      user: {
        foreign: ({ other }) => ({ ...ofUser(other.alice.userId), body: rules }),
        missing: () => ({ ...ofUser(nobody), body: rules }),
      },
    },
  },
  'policy.explain': {
    valid: () => ({ body: { userId: 'alice', connectorId: 'demo', action: 'echo', arguments: { text: 'hi' } } }),
    invalid: { body: { connectorId: 'demo', action: 'echo', scopes: ['with space'] }, path: 'scopes.0' },
    masked: {
      key: {
        foreign: ({ other }) => ({ body: { keyId: other.alice.keyId, connectorId: 'demo', action: 'echo' } }),
        missing: () => ({ body: { keyId: 'key_0123456789abcdefghij', connectorId: 'demo', action: 'echo' } }),
      },
      'drafted server': {
        foreign: ({ other }) => ({ body: { ...drafted(other.server.serverId), connectorId: 'demo', action: 'echo' } }),
        missing: () => ({ body: { ...drafted('nowhere-00000000'), connectorId: 'demo', action: 'echo' } }),
      },
    },
  },
  'policy.explainMany': {
    valid: ({ home }) => ({ body: { ...drafted(home.server.serverId), questions } }),
    invalid: { body: { draft: { restrictions: null }, questions }, path: 'serverId' },
    masked: {
      'drafted server': {
        foreign: ({ other }) => ({ body: { ...drafted(other.server.serverId), questions } }),
        missing: () => ({ body: { ...drafted('nowhere-00000000'), questions } }),
      },
    },
  },
};
