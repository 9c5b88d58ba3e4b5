// Minting a token of one user. Keeps nothing.
import { contract } from '@mcp-valet/shared';
import type { Call } from '../call.ts';
import type { CallOptions } from '../options.ts';
import { routeCall } from '../route-call.ts';
import type { Input, Reply } from '../route-types.ts';
import type { View } from './identity.ts';

type Route = (typeof contract)['tokens']['create'];

/** What a token of this user is minted with; without anything: 15 minutes, all that the user may call. */
export type TokenParams = Omit<Input<Route>, 'userId'>;
/** A token with its text, which is shown once. */
export type MintedToken = Reply<Route>;

/** Mints a token. Not kept: each call makes a new one. */
export function mint(view: View, params: TokenParams = {}, options?: CallOptions): Call<MintedToken> {
  const { transport, userId } = view;
  const given = () => ({ input: { ...params, userId }, options, userId });
  return routeCall(transport, 'tokens.create', contract.tokens.create, given, (reply) => reply as MintedToken);
}
