// Sealed state that travels through clients: it opens for the same request of the same user within ten minutes, and for nothing else.
import { randomBytes } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { localKeyProvider } from '../crypto/key-provider.ts';
import { type Keyring, openKeyring, type StoredKeyring } from '../crypto/keyring.ts';
import { RpcError } from './jsonrpc.ts';
import type { UserCall } from './request.ts';
import { openCursor, openRequestState, type StateBinding, sealCursor, sealRequestState } from './state.ts';

async function newKeyring(): Promise<Keyring> {
  let stored: StoredKeyring | undefined;
  const store = {
    load: async () => stored,
    hasRows: async () => false,
    create: async (keyring: StoredKeyring) => (stored = keyring),
  };
  return openKeyring({
    store,
    newInstallationId: () => 'inst',
    provider: localKeyProvider(randomBytes(32), 'VALET_MASTER_KEY'),
  });
}
let keyring: Keyring;
let otherKeyring: Keyring;
beforeAll(async () => {
  [keyring, otherKeyring] = await Promise.all([newKeyring(), newKeyring()]);
});
afterEach(() => {
  vi.useRealTimers();
});

const callOf = (more: { account?: string; user?: string; server?: string | null; ring?: Keyring } = {}): UserCall =>
  ({
    parts: { keyring: more.ring ?? keyring },
    principal: { accountId: more.account ?? 'acc' },
    user: { record: { id: more.user ?? 'usr' } },
    server: more.server === null ? null : { id: more.server ?? 'srv' },
  }) as unknown as UserCall;
const binding: StateBinding = {
  connectorId: 'slack',
  credentialId: 'cred',
  method: 'tools/call',
  name: 'send',
  params: { name: 'send', arguments: { b: 2, a: 1 } },
};
const invalid = expect.objectContaining({ code: -32_602, message: 'Invalid or expired requestState', status: 200 });
function failure(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

describe('requestState', () => {
  it('comes back as the upstream sent it, whatever the order of keys in the params', () => {
    for (const state of [
      '',
      'x',
      '{"a":1}',
      '😀"\\\n',
      '"'.repeat(32 * 1024),
      '\u0001'.repeat(32 * 1024),
      'ü'.repeat(16 * 1024),
    ]) {
      const sealed = sealRequestState(callOf(), binding, state);
      expect(sealed).toMatch(/^[A-Za-z0-9_-]+$/);
      const again = { ...binding, params: { arguments: { a: 1, b: 2 }, name: 'send' } };
      expect(openRequestState(callOf(), again, sealed)).toBe(state);
    }
  });

  it('shows nothing of itself', () => {
    const sealed = sealRequestState(callOf(), binding, 'the-upstream-said-this');
    expect(Buffer.from(sealed, 'base64url').includes('the-upstream')).toBe(false);
    expect(sealRequestState(callOf(), binding, 'x')).not.toBe(sealRequestState(callOf(), binding, 'x'));
  });

  it('opens for no other account, user, server, installation or request', () => {
    const sealed = sealRequestState(callOf(), binding, 'x');
    const others: [UserCall, StateBinding][] = [
      [callOf({ account: 'acc2' }), binding],
      [callOf({ user: 'usr2' }), binding],
      [callOf({ server: 'srv2' }), binding],
      [callOf({ server: null }), binding],
      [callOf({ ring: otherKeyring }), binding],
      [callOf(), { ...binding, connectorId: 'github' }],
      [callOf(), { ...binding, credentialId: 'cred2' }],
      [callOf(), { ...binding, credentialId: null }],
      [callOf(), { ...binding, method: 'prompts/get' }],
      [callOf(), { ...binding, name: 'send2' }],
      [callOf(), { ...binding, params: { name: 'send', arguments: { b: 2, a: 2 } } }],
      [callOf(), { ...binding, params: undefined }],
    ];
    for (const [call, other] of others) expect(failure(() => openRequestState(call, other, sealed))).toEqual(invalid);
    expect(openRequestState(callOf(), binding, sealed)).toBe('x');
  });

  it('opens for ten minutes', () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const sealed = sealRequestState(callOf(), binding, 'x');
    vi.advanceTimersByTime(600_000);
    expect(openRequestState(callOf(), binding, sealed)).toBe('x');
    vi.advanceTimersByTime(1);
    expect(failure(() => openRequestState(callOf(), binding, sealed))).toEqual(invalid);
  });

  it('is refused with one answer when it is damaged, made up, of another kind or no text', () => {
    const sealed = sealRequestState(callOf(), binding, 'x');
    const bytes = Buffer.from(sealed, 'base64url');
    for (let i = 0; i < bytes.length; i++) {
      const flipped = Buffer.from(bytes);
      flipped[i] = (flipped[i] as number) ^ 1;
      expect(failure(() => openRequestState(callOf(), binding, flipped.toString('base64url')))).toEqual(invalid);
    }
    for (const made of ['', 'x', 'a'.repeat(1_000_000), 1, null, undefined, {}, sealCursor(callOf(), 'tools', 1)]) {
      expect(failure(() => openRequestState(callOf(), binding, made))).toEqual(invalid);
    }
  });

  it('is not sealed over 32 KiB', () => {
    expect(() => sealRequestState(callOf(), binding, 'x'.repeat(32 * 1024 + 1))).toThrow(RpcError);
    expect(() => sealRequestState(callOf(), binding, 'ü'.repeat(16 * 1024 + 1))).toThrow('over 32 KiB');
  });
});

describe('a cursor', () => {
  const bad = expect.objectContaining({ code: -32_602, message: 'Invalid cursor' });
  it('opens for the same list of the same user on the same server, and for nothing else', () => {
    const cursor = sealCursor(callOf(), 'tools', 1_000);
    expect(openCursor(callOf(), 'tools', cursor)).toBe(1_000);
    for (const other of [
      callOf({ account: 'acc2' }),
      callOf({ user: 'usr2' }),
      callOf({ server: 'srv2' }),
      callOf({ server: null }),
      callOf({ ring: otherKeyring }),
    ]) {
      expect(failure(() => openCursor(other, 'tools', cursor))).toEqual(bad);
    }
    expect(failure(() => openCursor(callOf(), 'prompts', cursor))).toEqual(bad);
    expect(failure(() => openCursor(callOf(), 'tools', `A${cursor}`))).toEqual(bad);
    expect(failure(() => openCursor(callOf(), 'tools', sealRequestState(callOf(), binding, 'x')))).toEqual(bad);
    expect(failure(() => openCursor(callOf(), 'tools', ''))).toEqual(bad);
  });
});
