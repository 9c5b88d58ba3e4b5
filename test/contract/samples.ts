// One sample per route of the contract. Made to fail to compile when a route has none: the type is mapped over the table.
import { accountSamples } from './samples-account.ts';
import { identitySamples } from './samples-identity.ts';
import { keySamples } from './samples-keys.ts';
import { limitSamples } from './samples-limits.ts';
import { policySamples } from './samples-policy.ts';
import { trailSamples } from './samples-trail.ts';
import { userSamples } from './samples-user.ts';
import type { Samples } from './stage.ts';

export const samples: Samples = {
  ...accountSamples,
  ...identitySamples,
  ...keySamples,
  ...limitSamples,
  ...policySamples,
  ...trailSamples,
  ...userSamples,
};
