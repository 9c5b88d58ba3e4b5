// The journal's word on a call whose outcome is unknown here. Reads only.
import { type Contract, contract, type RouteReply } from '@mcp-valet/shared';
import type { Call } from './call.ts';
import { checkKey } from './idempotency.ts';
import type { CallOptions } from './options.ts';
import { isRecord } from './respond.ts';
import { routeCall } from './route-call.ts';
import type { Transport } from './transport.ts';

/** A call in the journal. Never arguments or results. */
export type CallRecord = RouteReply<Contract['calls']['list']>['calls'][number];

/** What `client.calls` has besides the routes of the contract. */
export interface CallFinder {
  /**
   * What became of the call with this idempotency key, the newest if there are several; `undefined` when the gateway never saw it. An
   * `outcome` of `null` means that it still runs. Keys belong to a user and a server: name the user when others may have used the same key.
   */
  readonly findByIdempotencyKey: (
    key: string,
    query?: { userId?: string; serverId?: string },
    options?: CallOptions,
  ) => Call<CallRecord | undefined>;
}

export function makeCallFinder(transport: Transport): CallFinder {
  return {
    findByIdempotencyKey: (key, query, options) =>
      routeCall(
        transport,
        'calls.findByIdempotencyKey',
        contract.calls.list,
        () => ({ input: { ...query, idempotencyKey: checkKey(key), limit: 1 }, options }),
        (reply) =>
          isRecord(reply) && Array.isArray(reply['calls']) ? (reply['calls'][0] as CallRecord | undefined) : undefined,
      ),
  };
}
