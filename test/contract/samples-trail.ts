// Samples of the trail: events, calls, one user's history, and the checkpoints that seal them.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newAudit, newCall } from './make.ts';
import { type Samples, type Stage, unique } from './stage.ts';

type Own = Extract<RouteId, `${'audit' | 'calls'}.${string}` | 'users.history'>;

async function newCallOfAlice(stage: Stage): Promise<string> {
  const requestId = await newCall(stage);
  return (await stage.rig.manage('GET', `/api/calls?requestId=${requestId}`)).calls[0].callId;
}

/** Writes an event and waits for the sealer, which looks every second. */
async function newCheckpoint({ rig }: Stage): Promise<string> {
  const newest = async () => (await rig.manage('GET', '/api/audit/checkpoints?limit=1')).checkpoints[0];
  const before = (await newest())?.checkpointId ?? 0;
  await rig.manage('POST', '/users', { username: unique('user') });
  for (let tries = 0; tries < 100; tries++) {
    const now = await newest();
    if (now !== undefined && now.checkpointId > before) return now.signature;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('nothing was sealed within 10 s');
}

export const trailSamples: Pick<Samples, Own> = {
  'audit.list': {
    valid: () => ({ query: { action: 'user.create', outcome: 'ok', search: 'user' } }),
    invalid: { query: { outcome: 'fine' }, path: 'outcome' },
    masked: {
      user: maskedUser,
      actor: {
        foreign: ({ other }) => ({ query: { actorUserId: other.alice.userId } }),
        missing: () => ({ query: { actorUserId: 'usr_0123456789abcdefghij' } }),
      },
    },
    add: newAudit,
    idOf: 'requestId',
  },
  'audit.verify': { valid: () => ({}) },
  'audit.checkpoints': {
    valid: () => ({ query: { limit: 1 } }),
    invalid: { query: { limit: 0 }, path: 'limit' },
    add: newCheckpoint,
    idOf: 'signature',
  },
  'users.history': {
    valid: () => ({ params: { username: 'alice' }, query: { limit: 10 } }),
    invalid: { query: { from: 'yesterday' }, path: 'from' },
    masked: {
      user: {
        foreign: ({ other }) => ({ params: { username: other.alice.userId } }),
        missing: () => ({ params: { username: 'usr_0123456789abcdefghij' } }),
      },
    },
    own: () => ({ params: { username: 'alice' } }),
    othersUser: { wire: () => ({ params: { username: 'bob' } }), status: 404 },
    add: newCallOfAlice,
    idOf: 'id',
  },
  'calls.list': {
    valid: () => ({ query: { userId: 'alice', outcome: 'ok' } }),
    invalid: { query: { from: 'yesterday' }, path: 'from' },
    masked: { user: maskedUser },
    own: () => ({}),
    othersUser: { wire: () => ({ query: { userId: 'bob' } }), status: 403 },
    add: newCall,
    idOf: 'requestId',
  },
};
