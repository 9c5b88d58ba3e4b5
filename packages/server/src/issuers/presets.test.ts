// What is known of identity providers: the exact `iss`, where the keys are, and where the audience stands.
import { describe, expect, it } from 'vitest';
import { blankConfig, isProblem, presetFacts } from './presets.ts';

describe('a preset', () => {
  it.each([
    [
      { preset: 'workos', clientId: 'client_123' },
      {
        issuer: 'https://api.workos.com/user_management/client_123',
        jwksUri: 'https://api.workos.com/sso/jwks/client_123',
        audience: ['client_123'],
      },
    ],
    [
      { preset: 'workos', domain: 'Acme.authkit.app' },
      { issuer: 'https://acme.authkit.app', jwksUri: 'https://acme.authkit.app/oauth2/jwks' },
    ],
    [
      { preset: 'auth0', domain: 'acme.eu.auth0.com' },
      { issuer: 'https://acme.eu.auth0.com/', jwksUri: 'https://acme.eu.auth0.com/.well-known/jwks.json' },
    ],
    [
      { preset: 'clerk', domain: 'clerk.acme.com' },
      {
        issuer: 'https://clerk.acme.com',
        jwksUri: 'https://clerk.acme.com/.well-known/jwks.json',
        audienceClaim: 'azp',
      },
    ],
    [
      { preset: 'cognito', domain: 'eu-west-1_AbCdEf', clientId: 'app' },
      {
        issuer: 'https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf',
        jwksUri: 'https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf/.well-known/jwks.json',
        audience: ['app'],
        audienceClaim: 'client_id',
      },
    ],
    [
      { preset: 'keycloak', domain: 'https://kc.example/auth/realms/acme/' },
      {
        issuer: 'https://kc.example/auth/realms/acme',
        jwksUri: 'https://kc.example/auth/realms/acme/protocol/openid-connect/certs',
      },
    ],
    [{}, {}],
  ] as const)('knows %j', (input, facts) => {
    expect(presetFacts(input)).toMatchObject(facts);
  });

  it.each([
    [{ preset: 'workos' }, 'clientId'],
    [{ preset: 'auth0' }, 'domain'],
    [{ preset: 'auth0', domain: 'https://acme.auth0.com' }, 'domain'],
    [{ preset: 'clerk', domain: 'a/b' }, 'domain'],
    [{ preset: 'cognito', domain: 'evil.example/eu-west-1_A', clientId: 'app' }, 'domain'],
    [{ preset: 'cognito', domain: 'eu-west-1_A' }, 'clientId'],
    [{ preset: 'keycloak', domain: 'kc.example' }, 'domain'],
  ] as const)('names what is missing in %j', (input, path) => {
    const facts = presetFacts(input);
    expect(isProblem(facts) && facts.path).toBe(path);
  });

  it('never allows a shared secret where keys are public', () => {
    expect(blankConfig.algorithms).not.toContain('HS256');
    for (const preset of ['workos', 'auth0', 'clerk', 'cognito', 'keycloak'] as const) {
      const domain =
        preset === 'cognito' ? 'eu-west-1_A' : preset === 'keycloak' ? 'https://k.example/realms/r' : 'a.example';
      const facts = presetFacts({ preset, domain, clientId: 'c' });
      expect(isProblem(facts) ? [] : facts.algorithms).not.toContain('HS256');
    }
  });
});
