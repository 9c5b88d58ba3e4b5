// Every wrong value is named at once, unsafe secrets are refused, and printing a configuration shows no secret.
import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from './config.ts';

const masterKey = randomBytes(32).toString('base64');
const apiKey = randomBytes(32).toString('hex');

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('loadConfig', () => {
  it('gives the documented defaults when nothing is set', () => {
    expect(loadConfig({})).toMatchObject({
      host: '127.0.0.1',
      port: 8787,
      publicUrl: 'http://127.0.0.1:8787',
      allowedHosts: ['127.0.0.1', 'localhost', '[::1]'],
      database: { kind: 'pglite', dir: '.valet/data' },
      masterKey: undefined,
      apiKey: undefined,
      onUnknownUser: 'reject',
      limits: {
        callsPerMinute: 100,
        listsPerMinute: 1_000,
        managementPerMinute: 600,
        concurrentCalls: 10,
        bodyBytes: 10_485_760,
        managementBodyBytes: 1_048_576,
        callTimeoutMs: 30_000,
      },
      warnings: [],
    });
  });

  it('names every wrong value at once and says what to set', () => {
    const problems = problemsOf({
      PORT: '70000',
      DATABASE_URL: 'mysql://x',
      VALET_RATE_LIMIT: '1e3',
      VALET_ON_UNKNOWN_USER: 'maybe',
      VALET_ALLOWED_UPSTREAM_CIDRS: '10.0.0.0/8, 10.0.0.0/33',
      VALET_PUBLIC_URL: 'mcp.example.com',
      LOG_LEVEL: 'loud',
    });
    expect(problems.map((problem) => problem.split(' ')[0]).sort()).toEqual([
      'DATABASE_URL',
      'LOG_LEVEL',
      'PORT',
      'VALET_ALLOWED_UPSTREAM_CIDRS',
      'VALET_ON_UNKNOWN_USER',
      'VALET_PUBLIC_URL',
      'VALET_RATE_LIMIT',
    ]);
    expect(problems.find((problem) => problem.startsWith('VALET_ALLOWED'))).toContain('"10.0.0.0/33"');
  });

  it.each([
    ['short', 'k'.repeat(31)],
    ['constant', 'a'.repeat(40)],
    ['sample', 'your-api-key-your-api-key-your-api-key'],
    ['changeme', 'changeme-changeme-changeme-changeme-123'],
    ['with spaces', 'aB3$ dE6& gH9( jK2) mN5* pQ8+ sT1, vW4'],
  ])('refuses a %s API key without repeating it', (_name, key) => {
    const problems = problemsOf({ VALET_API_KEY: key });
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join()).toContain('VALET_API_KEY');
    expect(problems.join()).not.toContain(key);
  });

  it.each([
    ['short', 'c2hvcnQ='],
    ['constant', Buffer.alloc(32, 7).toString('base64')],
    ['all zero', '0'.repeat(64)],
  ])('refuses a %s master key', (_name, key) => {
    expect(problemsOf({ VALET_MASTER_KEY: key }).join()).toContain('VALET_MASTER_KEY');
  });

  it('refuses PostgreSQL without a master key, and two sources for one', () => {
    expect(problemsOf({ DATABASE_URL: 'postgres://u:p@db/valet' }).join()).toContain('VALET_MASTER_KEY');
    expect(problemsOf({ VALET_MASTER_KEY: masterKey, VALET_MASTER_KEY_FILE: '/run/key' }).join()).toContain('both set');
    expect(problemsOf({ DATABASE_URL: 'postgres://u:p@db/valet', VALET_MASTER_KEY: masterKey })).toEqual([]);
  });

  it('treats an empty variable as unset and warns of names that look like ours', () => {
    const config = loadConfig({ VALET_API_KEY: '', VALET_RATELIMIT: '5' });
    expect(config.apiKey).toBeUndefined();
    expect(config.warnings).toEqual(['VALET_RATELIMIT is not a variable of this version and is ignored']);
  });

  it('counts rate limits in Redis where there is one, else where the database is, and takes the operator at his word', () => {
    const postgres = { DATABASE_URL: 'postgres://u:p@db/valet', VALET_MASTER_KEY: masterKey };
    const redis = { REDIS_URL: 'rediss://:secret@cache:6380/1' };
    const kindOf = (env: Record<string, string>) => loadConfig(env).rateLimitStore.kind;
    expect(kindOf({})).toBe('memory');
    expect(kindOf(postgres)).toBe('postgres');
    expect(kindOf({ ...postgres, ...redis })).toBe('redis');
    expect(kindOf({ ...postgres, VALET_RATE_LIMIT_STORE: 'memory' })).toBe('memory');
    const unused = loadConfig({ ...postgres, ...redis, VALET_RATE_LIMIT_STORE: 'postgres' });
    expect(unused.rateLimitStore).toEqual({ kind: 'postgres', redisUrl: undefined });
    expect(unused.warnings.join()).toMatch(/REDIS_URL is set and not used/);
    expect(problemsOf({ VALET_RATE_LIMIT_STORE: 'redis' }).join()).toMatch(/REDIS_URL is not set/);
    expect(problemsOf({ VALET_RATE_LIMIT_STORE: 'postgres' }).join()).toMatch(/DATABASE_URL is not PostgreSQL/);
    expect(problemsOf({ REDIS_URL: 'http://cache' }).join()).toMatch(/^REDIS_URL must be redis/);
    expect(inspect(loadConfig({ ...postgres, ...redis }), { depth: 9 })).not.toContain('secret@');
  });

  it('says that a proxy of the environment is not used, without its address', () => {
    const { warnings } = loadConfig({ https_proxy: 'http://user:hidden@proxy.example:3128', HTTP_PROXY: '' });
    expect(warnings).toEqual([
      'https_proxy is set and not used: requests to upstreams go out directly, to checked addresses',
    ]);
  });

  it('prints no secret', () => {
    const config = loadConfig({
      VALET_API_KEY: apiKey,
      VALET_MASTER_KEY: masterKey,
      DATABASE_URL: 'postgres://u:hunter2hunter2@db/valet',
    });
    const printed = `${inspect(config, { depth: 9, showHidden: true })} ${JSON.stringify(config)} ${String(config.apiKey)}`;
    for (const secret of [apiKey, masterKey, 'hunter2hunter2']) expect(printed).not.toContain(secret);
    expect(config.apiKey?.reveal()).toBe(apiKey);
  });

  it('reads hosts, proxies and the public URL', () => {
    const config = loadConfig({
      HOST: '0.0.0.0',
      VALET_PUBLIC_URL: 'https://mcp.example.com/',
      VALET_ALLOWED_HOSTS: 'internal.example, [fd00::1]:8787',
      VALET_TRUST_PROXY: '10.1.2.3,fd00::/8',
    });
    expect(config.publicUrl).toBe('https://mcp.example.com');
    expect(config.allowedHosts).toEqual(['mcp.example.com', 'internal.example', '[fd00::1]:8787']);
    expect(config.trustProxy).toEqual(['10.1.2.3', 'fd00::/8']);
  });

  it('takes sign-in at an issuer whole or not at all, and keeps the issuer’s name to the letter', () => {
    const whole = {
      VALET_ADMIN_OIDC_ISSUER: 'https://login.example.com/',
      VALET_ADMIN_OIDC_CLIENT_ID: 'valet',
      VALET_ADMIN_OIDC_ALLOW: 'email:lead@example.com, group:admins',
    };
    expect(loadConfig(whole).adminOidc).toEqual({
      issuer: 'https://login.example.com/',
      clientId: 'valet',
      clientSecret: undefined,
      allow: ['email:lead@example.com', 'group:admins'],
      account: 'default',
    });
    const { VALET_ADMIN_OIDC_ISSUER: _, ...headless } = whole;
    expect(problemsOf({ VALET_ADMIN_OIDC_ISSUER: whole.VALET_ADMIN_OIDC_ISSUER })).toHaveLength(2);
    expect(problemsOf(headless)).toHaveLength(2);
    expect(problemsOf({ ...whole, VALET_ADMIN_OIDC_ALLOW: ' , ' })).toHaveLength(1);
    expect(problemsOf({ ...whole, VALET_ADMIN_OIDC_ALLOW: '*' })).toHaveLength(1);
    expect(problemsOf({ ...whole, VALET_ADMIN_OIDC_ISSUER: 'login.example.com' })).toHaveLength(1);
  });
});
