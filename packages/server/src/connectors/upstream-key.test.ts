// Keys that keep users apart: different parts never give the same key.
import { describe, expect, it } from 'vitest';
import { isOfSession, poolKey, type UpstreamKeyParts, upstreamKey } from './upstream-key.ts';

const parts: UpstreamKeyParts = {
  accountId: 'acc',
  userId: 'usr',
  connectorId: 'slack',
  connectorVersion: 1,
  credentialId: 'cred',
  credentialVersion: 1,
};

describe('upstreamKey', () => {
  it('is equal for equal parts and differs with each of them', () => {
    const changes: Partial<UpstreamKeyParts>[] = [
      {},
      { accountId: 'acc2' },
      { userId: 'usr2' },
      { userId: null },
      { userId: 'null' },
      { connectorId: 'Slack' },
      { connectorVersion: 2 },
      { credentialId: null },
      { credentialId: '' },
      { credentialVersion: 2 },
      { sessionId: 's' },
      { sessionId: 's2' },
      { sessionId: '' },
      { claims: 's' },
      { claims: 'c' },
      { claims: 's', sessionId: 's' },
    ];
    expect(upstreamKey({ ...parts })).toBe(upstreamKey(parts));
    expect(new Set(changes.map((change) => upstreamKey({ ...parts, ...change }))).size).toBe(changes.length);
  });

  it('keeps its parts apart whatever characters they hold', () => {
    const joined = [
      { accountId: 'a","b', userId: 'c' },
      { accountId: 'a', userId: 'b","c' },
      { accountId: 'a,b', userId: 'c' },
      { accountId: 'a', userId: 'b,c' },
    ];
    expect(new Set(joined.map((change) => upstreamKey({ ...parts, ...change }))).size).toBe(joined.length);
  });

  it('knows its own session and no other', () => {
    expect(isOfSession(upstreamKey({ ...parts, sessionId: 's' }), 's')).toBe(true);
    expect(isOfSession(upstreamKey({ ...parts, sessionId: 's' }), 't')).toBe(false);
    expect(isOfSession(upstreamKey({ ...parts, credentialId: 's' }), 's')).toBe(false);
    expect(isOfSession(upstreamKey(parts), 'undefined')).toBe(false);
  });
});

describe('poolKey', () => {
  it('names account and connector', () => {
    expect(poolKey('acc', 'slack')).not.toBe(poolKey('acc', 'github'));
    expect(poolKey('acc', 'slack')).not.toBe(poolKey('acc2', 'slack'));
  });
});
