// Seals what travels through clients and comes back: an upstream's requestState and list cursors. Bound to everything the retry must agree
// with; whatever differs, or is older than ten minutes, does not open. Never authentication: the request's credential is.
import type { Keyring } from '../crypto/keyring.ts';
import { canonicalJson, RpcError } from './jsonrpc.ts';
import type { UserCall } from './request.ts';

const lifeMs = 10 * 60_000;
const maxStateBytes = 32 * 1024;
// JSON makes up to six characters of one, base64 four of three.
const maxSealedLength = 9 * maxStateBytes;

export interface StateBinding {
  connectorId: string;
  credentialId: string | null;
  method: string;
  name: string;
  /** Params without `_meta`, `inputResponses` and `requestState`. */
  params: unknown;
}

const invalidState = (): RpcError => new RpcError(-32602, 'Invalid or expired requestState');

function placeOf(call: UserCall, binding: StateBinding, keyring: Keyring): string[] {
  const digest = keyring.digest('state', canonicalJson(binding.params)).toString('hex');
  const { connectorId, credentialId, method, name } = binding;
  return [
    'request-state/1',
    call.principal.accountId,
    call.user.record.id,
    call.server?.id ?? '',
    connectorId,
    credentialId ?? '',
    method,
    name,
    digest,
  ];
}

/** Marks state of our own question to the user, which no upstream ever sees. */
const ownMark = 'connect.';

/** State of the question to connect an account: bound to the same request, whichever credential will be there. */
export const sealConnectState = (call: UserCall, binding: Omit<StateBinding, 'credentialId'>, state: string): string =>
  ownMark + sealRequestState(call, { ...binding, credentialId: 'connect' }, state);

/** Whether the state belongs to our own question. Throws -32602 when it claims to and does not open here. */
export function isConnectState(call: UserCall, binding: Omit<StateBinding, 'credentialId'>, sealed: unknown): boolean {
  if (typeof sealed !== 'string' || !sealed.startsWith(ownMark)) return false;
  openRequestState(call, { ...binding, credentialId: 'connect' }, sealed.slice(ownMark.length));
  return true;
}

export function sealRequestState(call: UserCall, binding: StateBinding, state: string): string {
  if (Buffer.byteLength(state) > maxStateBytes)
    throw new RpcError(-32603, 'The upstream sent a requestState over 32 KiB');
  const { keyring } = call.parts;
  const value = Buffer.from(JSON.stringify({ until: Date.now() + lifeMs, state }), 'utf8');
  return keyring.sealState(value, ...placeOf(call, binding, keyring)).toString('base64url');
}

/** The upstream's own state behind a sealed one. Throws -32602 when it belongs to another request, user or time. */
export function openRequestState(call: UserCall, binding: StateBinding, sealed: unknown): string {
  if (typeof sealed !== 'string' || sealed.length > maxSealedLength) throw invalidState();
  const { keyring } = call.parts;
  let value: { until: number; state: string };
  try {
    const opened = keyring.openState(Buffer.from(sealed, 'base64url'), ...placeOf(call, binding, keyring));
    value = JSON.parse(opened.toString('utf8')) as typeof value;
  } catch {
    // Why it does not open is the same to the caller in every case.
    throw invalidState();
  }
  if (value.until < Date.now()) throw invalidState();
  return value.state;
}

/** An opaque cursor into a list of this user. */
export function sealCursor(call: UserCall, list: string, offset: number): string {
  const value = Buffer.from(JSON.stringify({ offset }), 'utf8');
  return call.parts.keyring
    .sealState(value, 'cursor/1', call.principal.accountId, call.user.record.id, call.server?.id ?? '', list)
    .toString('base64url');
}

export function openCursor(call: UserCall, list: string, cursor: string): number {
  try {
    const opened = call.parts.keyring.openState(
      Buffer.from(cursor, 'base64url'),
      'cursor/1',
      call.principal.accountId,
      call.user.record.id,
      call.server?.id ?? '',
      list,
    );
    return (JSON.parse(opened.toString('utf8')) as { offset: number }).offset;
  } catch {
    throw new RpcError(-32602, 'Invalid cursor');
  }
}
