// Under which key things are kept for whom: what a connector is told of its caller keeps callers apart, and nothing else does.
import type { Inject } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import type { ConnectorRecord } from '../identity/records.ts';
import { keyFor, missingClaims } from './forward.ts';

const connector = (inject: Inject | null, kind: ConnectorRecord['kind'] = 'mcp-http') =>
  ({ accountId: 'acc', id: 'c', version: 1, kind, inject }) as ConnectorRecord;
const caller = (claims: Record<string, unknown> | null) => ({ id: 'usr', username: 'alice', claims });

describe('the key of what is kept', () => {
  const told: Inject[] = [
    { headers: { 'x-tenant': '{{claims.org.id}}' } },
    { query: { tenant: 'a-{{ claims.org.id }}' } },
    { args: { tenant: '{{claims.org.id}}' } },
    { env: { TENANT: '{{claims.org.id}}' } },
  ];

  it.each(told)('differs for two tokens of one user where %j tells them apart', (inject) => {
    const target = connector(inject, 'mcp-stdio');
    const callers = [{ org: { id: 'acme' } }, { org: { id: 'globex' } }, {}, null].map(caller);
    const keys = callers.map((one) => keyFor(target, one, null));
    expect(new Set(keys.slice(0, 3)).size).toBe(3);
    expect(keys[2]).toBe(keys[3]);
    expect(keyFor(target, caller({ org: { id: 'acme' }, jti: 'another' }), null)).toBe(keys[0]);
    expect(keys.join()).not.toContain('acme');
  });

  it('is the same for all tokens of a user where the connector is told nothing of them', () => {
    for (const inject of [null, { headers: { 'x-user': '{{user.username}}' } }])
      expect(keyFor(connector(inject), caller({ org: { id: 'acme' } }), null)).toBe(
        keyFor(connector(inject), caller(null), null),
      );
  });
});

describe('missingClaims', () => {
  it('names what a template asks for and the token has not, or has in a form that is no text', () => {
    const target = connector({
      headers: { a: '{{claims.sub}}', b: '{{claims.n}} {{claims.list}} {{user.id}} {{SECRET}}' },
    });
    expect(missingClaims(target, caller({ sub: 's', n: 0, list: ['x'] }))).toEqual(['claims.list']);
    expect(missingClaims(target, caller(null))).toEqual(['claims.list', 'claims.n', 'claims.sub']);
    expect(missingClaims(target, null)).toHaveLength(3);
    expect(missingClaims(target, caller(JSON.parse('{"__proto__":{"sub":"s","n":1,"list":"l"}}')))).toHaveLength(3);
  });
});
