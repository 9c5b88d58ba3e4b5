// Samples of issuers of user tokens and of who their subjects are.
import type { RouteId } from '@mcp-valet/shared';
import { maskedUser, newUser } from './make.ts';
import { type Samples, type Stage, unique } from './stage.ts';

type Nouns = 'issuers' | 'identities';

const noIssuer = 'iss_0123456789abcdefghij';

const newIssuer = async ({ rig }: Stage, key = rig.admin): Promise<string> => {
  const name = unique('issuer');
  const body = { type: 'jwt', name, issuer: `https://${name}.example`, audience: ['valet'], sharedSecret: true };
  return (await rig.manage('POST', '/api/issuers', body, key)).issuerId;
};
const newIdentity = async (stage: Stage, key = stage.rig.admin) => {
  const issuerId = await newIssuer(stage, key);
  const subject = `auth0|${unique('subject')}`;
  await stage.rig.manage('POST', '/api/identities', { issuerId, subject, userId: 'alice' }, key);
  return { issuerId, subject };
};
const foreign = async (stage: Stage) => ({ params: { issuerId: await newIssuer(stage, stage.other.admin) } });
const missing = () => ({ params: { issuerId: noIssuer } });

export const identitySamples: Pick<Samples, Extract<RouteId, `${Nouns}.${string}`> | 'users.signOut'> = {
  'issuers.create': {
    valid: ({ upstream }) => ({
      body: {
        type: 'webhook',
        name: unique('sessions'),
        url: new URL('/verify', upstream.url).href,
        tokenPrefix: unique('s_'),
        requiredScopes: ['orders:read'],
      },
    }),
    invalid: { body: { type: 'jwt', name: 'x', algorithms: ['none'] }, path: 'algorithms.0' },
  },
  'issuers.list': {
    valid: () => ({}),
    invalid: { query: { limit: 0 }, path: 'limit' },
    add: newIssuer,
    idOf: 'issuerId',
  },
  'issuers.get': {
    valid: async (stage) => ({ params: { issuerId: await newIssuer(stage) } }),
    masked: { issuer: { foreign, missing } },
  },
  'issuers.update': {
    valid: async (stage) => ({
      params: { issuerId: await newIssuer(stage) },
      body: { tenant: { claim: 'org_id', values: ['org_1'] }, createUsers: true },
    }),
    invalid: { body: { clockToleranceSeconds: 301 }, path: 'clockToleranceSeconds' },
    masked: {
      issuer: {
        foreign: async (stage) => ({ ...(await foreign(stage)), body: { createUsers: true } }),
        missing: () => ({ ...missing(), body: { createUsers: true } }),
      },
    },
  },
  'issuers.delete': {
    valid: async (stage) => ({ params: { issuerId: await newIssuer(stage) } }),
    masked: { issuer: { foreign, missing } },
  },
  'issuers.revokeToken': {
    valid: async (stage) => ({ params: { issuerId: await newIssuer(stage) }, body: { tokenId: unique('jti') } }),
    invalid: { body: { tokenId: '' }, path: 'tokenId' },
    masked: {
      issuer: {
        foreign: async (stage) => ({ ...(await foreign(stage)), body: { tokenId: 'one' } }),
        missing: () => ({ ...missing(), body: { tokenId: 'one' } }),
      },
    },
  },
  'identities.create': {
    valid: async (stage) => ({
      body: { issuerId: await newIssuer(stage), subject: unique('subject'), userId: await newUser(stage) },
    }),
    invalid: { body: { issuerId: noIssuer, subject: '', userId: 'alice' }, path: 'subject' },
    masked: {
      issuer: {
        foreign: async (stage) => ({
          body: { issuerId: await newIssuer(stage, stage.other.admin), subject: 's', userId: 'alice' },
        }),
        missing: () => ({ body: { issuerId: noIssuer, subject: 's', userId: 'alice' } }),
      },
      user: {
        foreign: async (stage) => ({
          body: { issuerId: await newIssuer(stage), subject: 's', userId: stage.other.alice.userId },
        }),
        missing: async (stage) => ({
          body: { issuerId: await newIssuer(stage), subject: 's', userId: 'usr_0123456789abcdefghij' },
        }),
      },
    },
  },
  'identities.list': {
    valid: () => ({ query: { userId: 'alice' } }),
    invalid: { query: { limit: 1001 }, path: 'limit' },
    masked: { user: maskedUser },
    add: async (stage) => (await newIdentity(stage)).subject,
    idOf: 'subject',
  },
  'identities.delete': {
    valid: async (stage) => ({ params: await newIdentity(stage) }),
    masked: {
      identity: {
        foreign: async (stage) => ({ params: await newIdentity(stage, stage.other.admin) }),
        missing: () => ({ params: { issuerId: noIssuer, subject: 'nobody' } }),
      },
    },
  },
  'users.signOut': {
    valid: async (stage) => ({ params: { username: await newUser(stage) } }),
    masked: {
      user: {
        foreign: ({ other }) => ({ params: { username: other.alice.userId } }),
        missing: () => ({ params: { username: 'usr_0123456789abcdefghij' } }),
      },
    },
    own: () => ({ params: { username: 'alice' } }),
    othersUser: { wire: () => ({ params: { username: 'bob' } }), status: 404 },
  },
};
