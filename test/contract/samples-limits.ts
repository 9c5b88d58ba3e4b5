// Samples of limits, quotas and what was used.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newUser } from './make.ts';
import { type Samples, type Stage, unique } from './stage.ts';

type Nouns = 'limits' | 'usage';

/** Large: the suites' own calls are not what it is about. */
const newLimit = async ({ rig }: Stage, key = rig.admin): Promise<string> =>
  (await rig.manage('POST', '/api/limits', { connectorId: 'demo', max: 1_000_000, window: 60 }, key)).limitId;
const foreign = async (stage: Stage) => ({ params: { limitId: await newLimit(stage, stage.other.admin) } });
const missing = () => ({ params: { limitId: 'lim_0123456789abcdefghij' } });

/** A call of a new user, shown under its name. */
async function newUsage(stage: Stage): Promise<string> {
  const username = await newUser(stage);
  const body = { username, serverName: 'demo', methodName: 'echo', args: {} };
  await stage.rig.send('/mcp/tool/call', { key: stage.rig.admin, body });
  return username;
}

export const limitSamples: Pick<Samples, Extract<RouteId, `${Nouns}.${string}`>> = {
  'limits.create': {
    valid: () => ({ body: { userId: 'bob', connectorId: 'demo', action: unique('tool'), max: 100, window: 'day' } }),
    invalid: { body: { max: 1, window: 3601 }, path: 'window' },
    masked: {
      user: {
        foreign: ({ other }) => ({ body: { userId: other.alice.userId, max: 1, window: 60 } }),
        missing: () => ({ body: { userId: 'usr_0123456789abcdefghij', max: 1, window: 60 } }),
      },
      server: {
        foreign: ({ other }) => ({ body: { serverId: other.server.serverId, max: 1, window: 60 } }),
        missing: () => ({ body: { serverId: 'nothing-here', max: 1, window: 60 } }),
      },
    },
  },
  'limits.list': {
    valid: () => ({ query: { userId: 'alice' } }),
    invalid: { query: { limit: 1001 }, path: 'limit' },
    masked: { user: maskedUser },
    add: newLimit,
    idOf: 'limitId',
  },
  'limits.update': {
    valid: async (stage) => ({ params: { limitId: await newLimit(stage) }, body: { max: 999_999, shared: false } }),
    invalid: { body: { max: -1 }, path: 'max' },
    masked: {
      limit: {
        foreign: async (stage) => ({ ...(await foreign(stage)), body: { max: 5 } }),
        missing: () => ({ ...missing(), body: { max: 5 } }),
      },
    },
  },
  'limits.delete': {
    valid: async (stage) => ({ params: { limitId: await newLimit(stage) } }),
    masked: { limit: { foreign, missing } },
  },
  'usage.list': {
    valid: () => ({ query: { by: 'user,tool,day' } }),
    invalid: { query: { by: 'moon' }, path: 'by' },
    masked: { user: maskedUser },
    own: () => ({}),
    othersUser: { wire: () => ({ query: { userId: 'bob' } }), status: 403 },
    add: newUsage,
    idOf: 'username',
  },
};
