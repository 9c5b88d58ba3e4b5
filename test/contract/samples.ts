// One sample per route of the contract. Made to fail to compile when a route has none: the type is mapped over the table.
import { accountSamples } from './samples-account.ts';
import { userSamples } from './samples-user.ts';
import type { Samples } from './stage.ts';

export const samples: Samples = { ...accountSamples, ...userSamples };
