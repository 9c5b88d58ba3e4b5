// Secrets into a child's environment: only declared names, one pass, nothing that an environment cannot carry; and where secrets go by default.
import { injectOf } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { EnvironmentError, InjectError, injectEnv } from './inject.ts';

const alice = { id: 'usr_1', username: 'alice' };
const secrets = new Map([
  ['A', 'value-a'],
  ['B', 'value-{{A}}'],
]);

describe('the environment of a child process', () => {
  it('has every declared secret by default, and no other', () => {
    expect(injectEnv(null, ['A', 'C'], secrets, alice)).toEqual({ A: 'value-a' });
    expect(injectEnv({ env: 'all' }, ['B'], secrets, alice)).toEqual({ B: 'value-{{A}}' });
  });

  it('has nothing when the connector puts secrets elsewhere', () => {
    expect(injectEnv({ args: 'all' }, ['A'], secrets, alice)).toEqual({});
  });

  it('has templates of declared names, filled once', () => {
    const inject = { env: { X: '{{user.username}}/{{B}}' } };
    expect(injectEnv(inject, ['X'], secrets, alice)).toEqual({ X: 'alice/value-{{A}}' });
  });

  it.each([
    ['a name that the entry does not declare', { env: { LD_PRELOAD: '{{A}}' } }, EnvironmentError],
    ['a secret that is not there', { env: { X: '{{MISSING}}' } }, InjectError],
  ])('is refused: %s', (_, inject, type) => {
    expect(() => injectEnv(inject, ['X'], secrets, alice)).toThrow(type);
  });

  it('is refused with a NUL in a value, without showing it', () => {
    const act = (): unknown => injectEnv(null, ['A'], new Map([['A', 'hidden\0value']]), alice);
    expect(act).toThrow(EnvironmentError);
    expect(act).not.toThrow(/hidden/);
  });
});

describe('where secrets go when the connector does not say', () => {
  it.each([
    ['mcp-http', { args: 'all' }],
    ['mcp-stdio', { env: 'all' }],
    ['http', null],
  ] as const)('%s: %j', (kind, expected) => {
    expect(injectOf({ kind, inject: null, oauth: null })).toEqual(expected);
  });

  it('is the Authorization header for who signs in with OAuth, and the document’s business for a REST API', () => {
    const header = { headers: { authorization: 'Bearer {{oauth.access_token}}' } };
    expect(injectOf({ kind: 'mcp-http', inject: null, oauth: {} })).toEqual(header);
    expect(injectOf({ kind: 'http', inject: null, oauth: {} })).toBeNull();
  });

  it('is where it says, when it does', () => {
    const inject = { args: { a: '{{A}}' } };
    expect(injectOf({ kind: 'mcp-stdio', inject, oauth: null })).toEqual(inject);
  });
});
