// What the status of a credential is right now, and when its token wants to be renewed.
import { describe, expect, it } from 'vitest';
import type { CredentialRecord } from '../../identity/records.ts';
import { isDue } from './due.ts';
import { currentStatus, type StatusFacts } from './status.ts';

const now = Date.parse('2026-01-01T12:00:00Z');
const hour = 3_600_000;
const inMs = (ms: number | null): Date | null => (ms === null ? null : new Date(now + ms));

describe('currentStatus', () => {
  const of = (leftMs: number | null, more: Partial<StatusFacts> = {}, names: string[] = ['oauth.access_token']) =>
    currentStatus({ type: 'oauth2', status: 'valid', tokenExpiresAt: inMs(leftMs), ...more }, names, now);

  it('tells of the end of what nothing can renew: a day ahead, and when it has come', () => {
    expect(of(25 * hour)).toBe('valid');
    expect(of(23 * hour)).toBe('expiring');
    expect(of(60_000)).toBe('expiring');
    expect(of(0)).toBe('reauth_required');
    expect(of(-hour, { status: 'unreachable' })).toBe('reauth_required');
  });
  it('is the stored one where a refresh token is held, the end is unknown or it is no oauth2 credential', () => {
    expect(of(-hour, {}, ['oauth.access_token', 'oauth.refresh_token'])).toBe('valid');
    expect(of(-hour, { status: 'unreachable' }, ['oauth.refresh_token'])).toBe('unreachable');
    expect(of(null)).toBe('valid');
    expect(of(-hour, { type: 'secrets' })).toBe('valid');
  });
  it('never makes a credential better than it is', () => {
    expect(of(hour, { status: 'reauth_required' })).toBe('reauth_required');
    expect(of(hour, { status: 'pending' })).toBe('pending');
    expect(of(48 * hour, { status: 'unreachable' })).toBe('unreachable');
  });
});

describe('isDue', () => {
  const due = (leftMs: number | null, lifeMs = hour, type: CredentialRecord['type'] = 'oauth2') =>
    isDue(
      { type, tokenExpiresAt: inMs(leftMs), updatedAt: new Date(now + (leftMs ?? 0) - lifeMs) } as CredentialRecord,
      now,
    );

  it('is a minute ahead of the end', () => {
    expect(due(61_000)).toBe(false);
    expect(due(60_000)).toBe(true);
    expect(due(-hour)).toBe(true);
  });
  it('is half of its life ahead for a token that lives shorter, so that not every call renews it', () => {
    expect(due(25_000, 40_000)).toBe(false);
    expect(due(20_000, 40_000)).toBe(true);
  });
  it('is never for tokens without a known end and for other credentials', () => {
    expect(due(null)).toBe(false);
    expect(due(-hour, hour, 'api_key')).toBe(false);
  });
  it('is at the end for a row that was changed after it', () => {
    expect(due(-hour, -2 * hour)).toBe(true);
  });
});
