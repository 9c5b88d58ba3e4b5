// What a committed change ends of what is kept for upstreams, and that it ends nothing else.
import { describe, expect, it } from 'vitest';
import { type UpstreamKey, upstreamKey } from './connectors/upstream-key.ts';
import type { Parts } from './context.ts';
import { followChanges } from './follow-changes.ts';
import type { ConnectorRecord, CredentialRecord, UserRecord } from './identity/records.ts';

interface Scene {
  connectors: Record<string, Partial<ConnectorRecord>>;
  users: Record<string, boolean>;
  credentials: { id: string; userId: string; version: number; shared?: boolean; groupIds?: string[] }[];
  /** Who is in which groups. */
  groups?: Record<string, string[]>;
  accountEnabled?: boolean;
}

function stage(scene: Scene, kept: UpstreamKey[]) {
  const left = new Set(kept);
  const listeners: ((topic: string) => void)[] = [];
  const records = scene.credentials.map((one) => ({ groupIds: null, ...one })) as unknown as CredentialRecord[];
  const groupsOf = (id: string) => (scene.groups?.[id] ?? []).map((group) => ({ id: group }));
  const connectors = new Map(
    Object.entries(scene.connectors).map(([id, more]) => [
      id,
      { id, version: 1, enabled: true, allowShared: false, ...more } as ConnectorRecord,
    ]),
  );
  followChanges({
    directory: {
      onChange: (listener: (topic: string) => void) => listeners.push(listener),
      connectors: async () => connectors,
      account: async () => ({ id: 'acc', enabled: scene.accountEnabled ?? true, callsPerMinute: null }),
      user: async (_: string, id: string) =>
        id in scene.users
          ? ({ id, enabled: scene.users[id], groups: groupsOf(id) } as unknown as UserRecord)
          : undefined,
      credentials: async (_: string, userId: string) => records.filter((one) => one.userId === userId),
      sharedCredentials: async () => records.filter((one) => one.shared),
    },
    carriers: {
      eachKey: (visit: (key: UpstreamKey) => void) => left.forEach(visit),
      forget: async (matches: (key: UpstreamKey) => boolean) => {
        for (const key of left) if (matches(key)) left.delete(key);
      },
      connectorsChanged: () => undefined,
    },
    vault: { forget: () => undefined, forgetAll: () => undefined },
    log: { warn: () => undefined },
    live: { addSource: () => undefined },
  } as unknown as Parts);
  return async (topic: string) => {
    for (const listener of listeners) listener(topic);
    await new Promise((resolve) => setTimeout(resolve, 5));
    return [...left];
  };
}

const key = (
  userId: string | null,
  connectorId = 'a',
  credentialId: string | null = null,
  version = 1,
  connectorVersion = 1,
) => upstreamKey({ accountId: 'acc', userId, connectorId, connectorVersion, credentialId, credentialVersion: version });
const everybody = { alice: true, bob: true };

describe('a change of connectors', () => {
  it('ends what belongs to another version, to one that is off, and to one that is gone', async () => {
    const kept = [key(null, 'a'), key(null, 'b'), key(null, 'c'), key(null, 'gone')];
    const change = stage(
      { connectors: { a: {}, b: { version: 2 }, c: { enabled: false } }, users: {}, credentials: [] },
      kept,
    );
    expect(await change('connectors:acc')).toEqual([kept[0]]);
  });

  it('ends nothing of another account', async () => {
    const kept = [key(null, 'gone')];
    expect(await stage({ connectors: {}, users: {}, credentials: [] }, kept)('connectors:other')).toEqual(kept);
  });

  it('ends what was made with a credential that is no longer shared', async () => {
    const credentials = [{ id: 'lent', userId: 'alice', version: 1 }];
    const kept = [key('bob', 'a', 'lent'), key('alice', 'a', 'lent')];
    const change = stage({ connectors: { a: { allowShared: true } }, users: everybody, credentials }, kept);
    expect(await change('connectors:acc')).toEqual([kept[1]]);
  });
});

describe('a change of a user', () => {
  it('ends what was made with a credential that is gone or renewed, and leaves the others', async () => {
    const credentials = [
      { id: 'same', userId: 'alice', version: 1 },
      { id: 'renewed', userId: 'alice', version: 2 },
    ];
    const kept = [
      key('alice', 'a', 'same'),
      key('alice', 'a', 'renewed'),
      key('alice', 'a', 'gone'),
      key('bob', 'a', 'his'),
      key(null),
    ];
    const change = stage({ connectors: { a: {} }, users: everybody, credentials }, kept);
    expect(await change('user:alice')).toEqual([kept[0], kept[3], kept[4]]);
  });

  it('ends everything of one who may not call any more', async () => {
    const kept = [key('alice'), key('bob')];
    const change = stage({ connectors: { a: {} }, users: { alice: false, bob: true }, credentials: [] }, kept);
    expect(await change('user:alice')).toEqual([kept[1]]);
    const deleted = stage({ connectors: { a: {} }, users: { bob: true }, credentials: [] }, kept);
    expect(await deleted('user:alice')).toEqual([kept[1]]);
  });

  it('ends what a user made with a credential of a group that it left, and leaves the members theirs', async () => {
    const credentials = [{ id: 'lent', userId: 'alice', version: 1, shared: true, groupIds: ['sales'] }];
    const kept = [key('bob', 'a', 'lent'), key('carol', 'a', 'lent')];
    const users = { alice: true, bob: true, carol: true };
    const groups = { bob: ['support'], carol: ['sales'] };
    const change = stage({ connectors: { a: { allowShared: true } }, users, credentials, groups }, kept);
    expect(await change('user:bob')).toEqual([kept[1]]);
  });

  it('ends what others made with the shared credential that changed', async () => {
    const credentials = [{ id: 'lent', userId: 'alice', version: 2, shared: true }];
    const kept = [key('bob', 'a', 'lent', 1), key('bob', 'a', 'lent', 2)];
    const change = stage({ connectors: { a: { allowShared: true } }, users: everybody, credentials }, kept);
    expect(await change('user:alice')).toEqual([kept[1]]);
  });
});

describe('a change of the account', () => {
  it('ends everything of one that is disabled, and nothing of one that is not', async () => {
    const kept = [key('alice'), key(null)];
    const scene = { connectors: { a: {} }, users: everybody, credentials: [] };
    expect(await stage(scene, kept)('account:acc')).toEqual(kept);
    expect(await stage({ ...scene, accountEnabled: false }, kept)('account:acc')).toEqual([]);
  });
});

describe('after a time without notifications', () => {
  it('everything is looked at, and only what nobody may use any more ends', async () => {
    const credentials = [{ id: 'same', userId: 'bob', version: 1 }];
    const kept = [key('alice'), key('bob', 'a', 'same'), key('bob', 'a', 'gone'), key(null, 'gone')];
    const change = stage({ connectors: { a: {} }, users: { alice: false, bob: true }, credentials }, kept);
    expect(await change('*')).toEqual([kept[1]]);
  });
});
