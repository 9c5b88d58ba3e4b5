// What of one caller's request travels with its upstream call: capabilities as declared, vendor `_meta`, sealed interactive state, and the way
// to ask its user to connect an account. For both lanes. Sends nothing.
import { envelopeKeys, metaKeys } from '@mcp-valet/shared';
import type { ConnectorRecord } from '../identity/records.ts';
import { chooseCredential, prefixOf } from './catalog.ts';
import { type ConnectDialog, replyOf } from './connect.ts';
import { isObject } from './jsonrpc.ts';
import { publishedUri } from './names.ts';
import { type CallRequest, isDirect, type UserCall } from './request.ts';
import { isConnectState, openRequestState, type StateBinding, sealConnectState, sealRequestState } from './state.ts';
import type { Relay } from './upstream-step.ts';

/** What a lane adds to a call: listeners for what the upstream says before its result. */
export type LaneRelay = Pick<Relay, 'onNotification' | 'wantsProgress' | 'logLevel' | 'ask'>;

const maxVendorMeta = 8 * 1024;

const declarable = ['elicitation', 'sampling', 'roots'];

/** Of what the caller declared, what may be declared upstream: never more, and nothing that would bind us. */
function declaredCapabilities(request: CallRequest, meta: Record<string, unknown>): Record<string, unknown> {
  if (request.era === 'legacy') return {};
  const declared = meta[envelopeKeys.clientCapabilities];
  return isObject(declared)
    ? Object.fromEntries(Object.entries(declared).filter(([key]) => declarable.includes(key)))
    : {};
}

const reserved =
  /^(?:[a-z0-9.-]+\.)?(?:modelcontextprotocol|mcp)(?:\.[a-z0-9.-]+)?\/|^mcp-valet\/|^progressToken$|^baggage$/i;

function travellingMeta(meta: Record<string, unknown>): Record<string, unknown> | undefined {
  const entries = Object.entries(meta).filter(([key]) => !reserved.test(key));
  if (entries.length === 0) return undefined;
  const kept = Object.fromEntries(entries);
  return JSON.stringify(kept).length <= maxVendorMeta ? kept : undefined;
}

/** Everything of the caller that an upstream call carries, with the sealing of interactive state bound to this very call. */
export async function relayOf(
  call: UserCall,
  connector: ConnectorRecord,
  params: Record<string, unknown>,
  binding: Omit<StateBinding, 'connectorId' | 'credentialId'>,
  lane: LaneRelay,
): Promise<Relay> {
  const meta = isObject(params['_meta']) ? params['_meta'] : {};
  const clientCapabilities = declaredCapabilities(call, meta);
  const publishUri = isDirect(call) ? (uri: string) => publishedUri(connector.id, uri, prefixOf(call)) : undefined;
  const fullResult = meta[metaKeys.fullResult] === true ? true : undefined;
  const base: Relay = { clientCapabilities, meta: travellingMeta(meta), publishUri, fullResult, ...lane };
  if (call.era === 'legacy') return base;
  const place = { ...binding, connectorId: connector.id };
  const isOurs = isConnectState(call, place, params['requestState']);
  const dialog: ConnectDialog = {
    clientCapabilities,
    sealState: (state) => sealConnectState(call, place, state),
    ...(isOurs && { reply: replyOf(params['inputResponses']) }),
  };
  const choice = await chooseCredential(call, connector);
  const bound: StateBinding = { ...place, credentialId: choice.kind === 'use' ? choice.credential.id : null };
  const retry = {
    ...(!isOurs && params['inputResponses'] !== undefined && { inputResponses: params['inputResponses'] }),
    ...(!isOurs &&
      params['requestState'] !== undefined && {
        requestState: openRequestState(call, bound, params['requestState']),
      }),
  };
  return {
    ...base,
    dialog,
    sealState: (state) => sealRequestState(call, bound, state),
    ...(Object.keys(retry).length > 0 && { retry }),
  };
}
