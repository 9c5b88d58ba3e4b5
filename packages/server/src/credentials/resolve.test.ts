// Which credential a call uses, and that a missing one is never replaced by another or by none.
import { describe, expect, it } from 'vitest';
import type { ConnectorRecord, CredentialRecord } from '../identity/records.ts';
import { type CredentialWish, resolveCredential } from './resolve.ts';

const connector = (requiredSecrets: string[] = []): ConnectorRecord =>
  ({ id: 'slack', accountId: 'acc', requiredSecrets }) as unknown as ConnectorRecord;
const credential = (id: string, more: Partial<CredentialRecord> & { names?: string[] } = {}): CredentialRecord =>
  ({
    id,
    accountId: 'acc',
    userId: 'usr',
    connectorId: 'slack',
    type: 'secrets',
    status: 'valid',
    isDefault: false,
    groupIds: null,
    secrets: (more.names ?? ['TOKEN']).map((name) => ({ name })),
    ...more,
  }) as unknown as CredentialRecord;

function chosen(of: ConnectorRecord, own: CredentialRecord[], wish: CredentialWish = {}): string {
  const choice = resolveCredential(of, own, [], wish, []);
  return choice.kind === 'use' || choice.kind === 'reauth' ? `${choice.kind} ${choice.credential.id}` : choice.kind;
}
const needsToken = connector(['TOKEN']);

describe('the order of choice', () => {
  const own = [credential('a'), credential('b', { isDefault: true }), credential('c')];
  it('is argument, header, default, the only one', () => {
    expect(chosen(needsToken, own, { argument: 'a', header: 'c' })).toBe('use a');
    expect(chosen(needsToken, own, { header: 'c' })).toBe('use c');
    expect(chosen(needsToken, own)).toBe('use b');
    expect(chosen(needsToken, [credential('a')])).toBe('use a');
  });

  it('guesses among several without a default never', () => {
    expect(chosen(needsToken, [credential('a'), credential('c')])).toBe('missing');
  });

  it('does not fall back from a wish that is not there', () => {
    expect(chosen(needsToken, own, { argument: 'x', header: 'c' })).toBe('missing');
    expect(chosen(needsToken, own, { argument: '' })).toBe('missing');
    expect(chosen(connector(), [], { header: 'x' })).toBe('missing');
  });

  it('never uses the credential of another connector', () => {
    const elsewhere = [
      credential('a', { connectorId: 'github' }),
      credential('b', { connectorId: 'Slack', isDefault: true }),
    ];
    expect(chosen(needsToken, elsewhere)).toBe('missing');
    expect(chosen(needsToken, elsewhere, { argument: 'a' })).toBe('missing');
    expect(chosen(needsToken, [...elsewhere, credential('c')])).toBe('use c');
  });
});

describe('what a connector needs', () => {
  it('must be there in full: a credential that lacks one is missing', () => {
    expect(chosen(connector(['TOKEN', 'SITE']), [credential('a')])).toBe('missing');
    expect(chosen(connector(['TOKEN', 'SITE']), [credential('a', { names: ['SITE', 'TOKEN', 'MORE'] })])).toBe('use a');
  });

  it('is nothing for a connector that runs without: then no credential is fine, and an own one is used', () => {
    expect(chosen(connector(), [])).toBe('none');
    expect(chosen(connector(), [credential('a')])).toBe('use a');
    expect(chosen(connector(), [credential('a'), credential('b')])).toBe('missing');
    expect(chosen(needsToken, [])).toBe('missing');
  });
});

describe('a credential that is not ready', () => {
  it('asks for a new sign-in when its status says so, before anything else', () => {
    expect(chosen(needsToken, [credential('a', { status: 'reauth_required', names: [] })])).toBe('reauth a');
  });
  it('is missing while it is pending, also where the connector needs no secret', () => {
    expect(chosen(connector(), [credential('a', { status: 'pending', names: [] })])).toBe('missing');
  });
  it('is used while it only expires soon or its upstream is away', () => {
    expect(chosen(needsToken, [credential('a', { status: 'expiring' })])).toBe('use a');
    expect(chosen(needsToken, [credential('a', { status: 'unreachable' })])).toBe('use a');
  });
});

describe('a shared credential', () => {
  const lending = { ...needsToken, allowShared: true };
  const lent = [credential('s', { userId: 'other', shared: true })];
  const with_ = (
    of: ConnectorRecord,
    own: CredentialRecord[],
    shared: CredentialRecord[],
    wish: CredentialWish = {},
    groups: string[] = [],
  ) => {
    const ids = groups.map((id) => ({ id }));
    const choice = resolveCredential(of, own, shared, wish, ids);
    return choice.kind === 'use' || choice.kind === 'reauth' ? `${choice.kind} ${choice.credential.id}` : choice.kind;
  };

  it('serves who has none, where the connector allows it', () => {
    expect(with_(lending, [], lent)).toBe('use s');
    expect(with_(needsToken, [], lent)).toBe('missing');
    expect(with_(lending, [], lent, { argument: 's' })).toBe('use s');
    expect(with_(needsToken, [], lent, { argument: 's' })).toBe('missing');
  });

  it('never stands in for an own one, however bad that is', () => {
    expect(with_(lending, [credential('a')], lent)).toBe('use a');
    expect(with_(lending, [credential('a', { status: 'reauth_required' })], lent)).toBe('reauth a');
    expect(with_(lending, [credential('a', { status: 'pending' })], lent)).toBe('missing');
    expect(with_(lending, [credential('a'), credential('b')], lent)).toBe('missing');
  });

  it('serves who was only given a link so far: an empty credential is none yet', () => {
    const empty = credential('a', { status: 'pending', names: [] });
    expect(with_(lending, [empty], lent)).toBe('use s');
    expect(with_(lending, [empty], [])).toBe('missing');
    expect(with_(needsToken, [empty], lent)).toBe('missing');
  });

  it('is not used when it is not marked as shared, or when there are several and none is the default', () => {
    expect(with_(lending, [], [credential('s', { userId: 'other', shared: false })])).toBe('missing');
    const second = credential('t', { userId: 'third', shared: true });
    expect(with_(lending, [], [...lent, second])).toBe('missing');
    expect(with_(lending, [], [...lent, { ...second, isDefault: true }])).toBe('use t');
  });

  it('serves members of its groups only, before what the whole account shares', () => {
    const ofSales = credential('g', { userId: 'other', shared: true, groupIds: ['sales', 'ops'] });
    expect(with_(lending, [], [ofSales], {}, ['ops'])).toBe('use g');
    expect(with_(lending, [], [ofSales], {}, ['support'])).toBe('missing');
    expect(with_(lending, [], [ofSales], { argument: 'g' }, ['support'])).toBe('missing');
    expect(with_(lending, [], [...lent, ofSales], {}, ['sales'])).toBe('use g');
    expect(with_(lending, [], [...lent, ofSales], {}, [])).toBe('use s');
    expect(with_(lending, [credential('a')], [ofSales], {}, ['sales'])).toBe('use a');
    expect(with_(needsToken, [], [ofSales], {}, ['sales'])).toBe('missing');
  });

  it('is nobody’s when its groups are gone: no list of groups is not the whole account', () => {
    const left = credential('g', { userId: 'other', shared: true, groupIds: [] });
    expect(with_(lending, [], [left], {}, ['sales'])).toBe('missing');
    const dead = credential('g', { userId: 'other', shared: true, groupIds: ['grp_gone'] });
    expect(with_(lending, [], [dead], {}, ['sales'])).toBe('missing');
  });

  it('does not move on to the account’s when the group’s cannot be chosen or used', () => {
    const ofSales = (id: string, more = {}) =>
      credential(id, { userId: 'other', shared: true, groupIds: ['sales'], ...more });
    expect(with_(lending, [], [...lent, ofSales('g'), ofSales('h')], {}, ['sales'])).toBe('missing');
    expect(with_(lending, [], [...lent, ofSales('g', { status: 'reauth_required' })], {}, ['sales'])).toBe('reauth g');
  });

  it('says what made it this one', () => {
    const by = (own: CredentialRecord[], shared: CredentialRecord[], wish: CredentialWish = {}) => {
      const choice = resolveCredential(lending, own, shared, wish, [{ id: 'sales' }]);
      return choice.kind === 'use' ? choice.by : choice.kind;
    };
    expect(by([credential('a')], lent)).toBe('only');
    expect(by([credential('a', { isDefault: true }), credential('b')], lent)).toBe('default');
    expect(by([credential('a')], lent, { header: 'a' })).toBe('argument');
    expect(by([], lent)).toBe('shared');
    expect(by([], [credential('g', { userId: 'other', shared: true, groupIds: ['sales'] })])).toBe('group');
  });

  it('does not make a connector that needs nothing run without one', () => {
    expect(with_({ ...connector(), allowShared: true }, [], lent)).toBe('use s');
    expect(with_({ ...connector(), allowShared: true }, [], [...lent, credential('t', { shared: true })])).toBe(
      'missing',
    );
  });
});
