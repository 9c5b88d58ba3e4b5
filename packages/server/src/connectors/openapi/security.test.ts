// Which secrets go where: schemes, alternatives, defaults and the explicit mapping of the connector.
import { describe, expect, it } from 'vitest';
import type { SecurityScheme } from './document.ts';
import { fillSecurity, type SchemeSecrets } from './security.ts';

const securitySchemes: Record<string, SecurityScheme> = {
  key: { kind: 'apiKey', in: 'header', name: 'X-Api-Key' },
  queryKey: { kind: 'apiKey', in: 'query', name: 'api_key' },
  cookieKey: { kind: 'apiKey', in: 'cookie', name: 'sid' },
  basic: { kind: 'basic' },
  bearer: { kind: 'bearer' },
  oauth: { kind: 'oauth2', flows: [] },
  oidc: { kind: 'openIdConnect', url: '' },
  digest: { kind: 'unsupported', what: 'http digest' },
};

const fill = (security: string[][], secrets: Record<string, string>, auth: SchemeSecrets | null = null) =>
  fillSecurity({ securitySchemes }, { security }, new Map(Object.entries(secrets)), auth);
const authorization = (security: string[][], secrets: Record<string, string>, auth?: SchemeSecrets) =>
  fill(security, secrets, auth).headers['authorization'];

describe('a security scheme', () => {
  it('of an API key is filled from the only secret, in the place that it names', () => {
    expect(fill([['key']], { TOKEN: 'k' })).toEqual({ headers: { 'x-api-key': 'k' }, query: [], cookies: [] });
    expect(fill([['queryKey']], { TOKEN: 'k' }).query).toEqual([['api_key', 'k']]);
    expect(fill([['cookieKey']], { TOKEN: 'k' }).cookies).toEqual([['sid', 'k']]);
  });

  it('of an API key prefers the secret with its own name', () => {
    expect(fill([['key']], { other: 'no', key: 'yes' }).headers['x-api-key']).toBe('yes');
    expect(fill([['key']], { other: 'no', 'X-Api-Key': 'yes' }).headers['x-api-key']).toBe('yes');
  });

  it('of HTTP basic takes username and password', () => {
    const value = authorization([['basic']], { username: 'ünï', password: 'p:w' });
    expect(value).toBe(`Basic ${Buffer.from('ünï:p:w').toString('base64')}`);
  });

  it.each(['bearer', 'oauth', 'oidc'])('%s prefers the access token of a grant to any other secret', (name) => {
    expect(authorization([[name]], { 'oauth.access_token': 'granted', 'oauth.refresh_token': 'r', [name]: 'x' })).toBe(
      'Bearer granted',
    );
    expect(authorization([[name]], { ANY: 'stored' })).toBe('Bearer stored');
  });

  it('never sends a refresh token, not even when it is the only secret', () => {
    expect(() => authorization([['oauth']], { 'oauth.refresh_token': 'r' })).toThrow('needs the secret oauth');
  });

  it('is filled from the secrets that the connector names', () => {
    const auth = { basic: { username: 'USER', password: 'PASS' }, bearer: { token: 'B' }, key: { anything: 'K' } };
    const secrets = { USER: 'u', PASS: 'p', B: 'b', K: 'k' };
    expect(authorization([['basic']], secrets, auth)).toBe(`Basic ${Buffer.from('u:p').toString('base64')}`);
    expect(authorization([['bearer']], secrets, auth)).toBe('Bearer b');
    expect(fill([['key']], secrets, auth).headers['x-api-key']).toBe('k');
  });
});

describe('requirements', () => {
  it('are met by the first alternative whose secrets are there', () => {
    expect(fill([['basic'], ['key', 'bearer']], { key: 'k', bearer: 'b' }).headers).toEqual({
      'x-api-key': 'k',
      authorization: 'Bearer b',
    });
  });

  it('that are not met name the secret that is missing and send nothing', () => {
    expect(() => fill([['basic'], ['bearer']], { a: '1', b: '2' })).toThrow('The connector needs the secret username');
    expect(() => fill([['bearer']], {})).toThrow('The connector needs the secret bearer');
    expect(() => fill([['bearer']], { other: 'x', more: 'y' }, { bearer: { token: 'B' } })).toThrow(
      'needs the secret B',
    );
    expect(() => fill([['digest']], { ANY: 'x' })).toThrow('needs the secret digest');
    expect(() => fill([['undeclared']], { ANY: 'x' })).toThrow('needs the secret undeclared');
  });

  it('that allow anonymous calls are still met with secrets where there are some', () => {
    expect(authorization([[], ['bearer']], { bearer: 'b' })).toBe('Bearer b');
    expect(fill([['bearer'], []], {})).toEqual({ headers: {}, query: [], cookies: [] });
  });

  it('of an open operation send no secret', () => {
    expect(fill([], { bearer: 'b' })).toEqual({ headers: {}, query: [], cookies: [] });
  });
});
