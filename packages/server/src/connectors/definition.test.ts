// What a connector may not be made of, and that a change is checked as a whole.
import { describe, expect, it } from 'vitest';
import { type Definition, mergeDefinition, type SentFields, type Surroundings, templateProblem } from './definition.ts';
import { EgressError } from './egress-error.ts';

const empty: Definition = {
  kind: 'mcp-http',
  oauth: null,
  allowShared: false,
  requires: null,
  name: 'slack',
  description: null,
  category: [],
  config: { url: 'https://slack.example/mcp' },
  inject: null,
  secretNames: [],
  timeoutMs: null,
  enabled: true,
};
const allow: Surroundings = {
  checkUrl: (url) => new URL(url),
  entryEnv: (name) => (name === 'github' ? ['GITHUB_TOKEN'] : undefined),
};
const issuesOf = (sent: SentFields): unknown => {
  try {
    mergeDefinition(empty, sent, allow);
  } catch (error) {
    return (error as { details: { issues: { path: string }[] } }).details.issues.map((issue) => issue.path);
  }
  return [];
};

describe('fixed headers', () => {
  it.each([
    'Authorization',
    'cookie',
    'X-API-Key',
    'Host',
    'Mcp-Session-Id',
    'MCP-Protocol-Version',
    'Content-Type',
    'Proxy-Authorization',
  ])('refuses %s', (name) => expect(issuesOf({ headers: { [name]: 'x' } })).toEqual([`headers.${name}`]));

  it('keeps headers that carry neither credential nor protocol', () => {
    const { config } = mergeDefinition(empty, { headers: { 'X-Region': 'eu' } }, allow);
    expect(config).toEqual({ url: 'https://slack.example/mcp', headers: { 'X-Region': 'eu' } });
  });

  it('refuses one name in two spellings, line breaks and templates', () => {
    expect(issuesOf({ headers: { 'X-A': '1', 'x-a': '2' } })).toEqual(['headers.x-a']);
    expect(issuesOf({ headers: { 'X-A': 'a\r\nEvil: 1' } })).toEqual(['headers.X-A']);
    expect(issuesOf({ headers: { 'X-A': '{{TOKEN}}' } })).toEqual(['headers.X-A']);
  });
});

describe('inject', () => {
  it('accepts a credential header, whose value is a secret', () => {
    expect(issuesOf({ inject: { headers: { Authorization: 'Bearer {{SLACK_TOKEN}}', Cookie: 's={{S}}' } } })).toEqual(
      [],
    );
  });

  it('refuses headers of the connection and of the protocol', () => {
    expect(issuesOf({ inject: { headers: { Host: '{{H}}', 'mcp-session-id': '{{S}}' } } })).toEqual([
      'inject.headers.Host',
      'inject.headers.mcp-session-id',
    ]);
  });

  it.each([
    '{{TOKEN}}',
    '{{ TOKEN }}',
    'a {{user.username}} b {{user.id}}',
    'no placeholder',
    '{ }',
    '{{A.b-c}}',
    '{{claims.sub}}',
  ])('accepts the template %s', (template) => {
    expect(templateProblem(template)).toBeUndefined();
  });

  it.each([
    '{{claims.}}',
    '{{claims}}.sub}}',
    '{{user.email}}',
    '{{process.env.HOME}}',
    '{{env.HOME}}',
    '{{1BAD}}',
    '{{}}',
    '{{A}',
    '{{ A B }}',
    '{{{{A}}}}',
    '{{__proto__}}',
    '{{constructor}}',
    '}}',
  ])('refuses the template %s', (template) => {
    expect(templateProblem(template)).toEqual(expect.any(String));
  });

  it('names every wrong field at once', () => {
    expect(issuesOf({ headers: { Host: 'x' }, inject: { query: { k: '{{' }, args: { a: '{{env.X}}' } } })).toEqual([
      'headers.Host',
      'inject.query.k',
      'inject.args.a',
    ]);
  });
});

describe('mergeDefinition', () => {
  it('keeps what was not sent and clears what was sent as null', () => {
    const before = { ...empty, description: 'old', timeoutMs: 5000, inject: { args: 'all' as const } };
    const after = mergeDefinition(before, { description: null, inject: null }, allow);
    expect(after).toEqual({ ...before, description: null, inject: null });
  });

  it('tells what the egress guard says about an address, and no more', () => {
    const refuse = () => {
      throw new EgressError('EGRESS_REFUSED', 'no', 'The upstream URL must use https.');
    };
    expect(() => mergeDefinition(empty, { url: 'http://169.254.169.254/' }, { ...allow, checkUrl: refuse })).toThrow(
      expect.objectContaining({
        code: 'INVALID_REQUEST',
        details: { issues: [{ path: 'url', message: 'The upstream URL must use https.' }] },
      }),
    );
  });

  it('lets a defect of the guard through as a defect', () => {
    const broken = () => {
      throw new TypeError('broken');
    };
    expect(() => mergeDefinition(empty, { url: 'https://a.example/' }, { ...allow, checkUrl: broken })).toThrow(
      TypeError,
    );
  });
});

describe('kinds', () => {
  const stdio: Definition = { ...empty, kind: 'mcp-stdio', config: { entry: 'github' } };
  const rest: Definition = { ...empty, kind: 'http', config: {} };
  const refused = (before: Definition, sent: SentFields): unknown => {
    try {
      mergeDefinition(before, sent, allow);
    } catch (error) {
      return (error as { details: { issues: { path: string }[] } }).details.issues.map((issue) => issue.path);
    }
    return [];
  };

  it('have fields of their own, and no others', () => {
    expect(refused(stdio, { url: 'https://x.example/' })).toEqual(['url']);
    expect(refused(stdio, { oauth: {} })).toEqual(['oauth']);
    expect(refused(empty, { entry: 'github' })).toEqual(['entry']);
    expect(refused(rest, { headers: {}, transport: 'sse' })).toEqual(['headers', 'transport']);
    expect(refused(rest, { baseUrl: 'https://api.example/', auth: { key: { value: 'KEY' } } })).toEqual([]);
  });

  it('a child process is one of the catalogue, and is given what its entry declares', () => {
    expect(refused(stdio, { entry: 'bash' })).toEqual(['entry']);
    expect(refused(stdio, { inject: { env: { GITHUB_TOKEN: '{{T}}' } } })).toEqual([]);
    expect(refused(stdio, { inject: { env: { LD_PRELOAD: '{{T}}' } } })).toEqual(['inject.env.LD_PRELOAD']);
    expect(refused(stdio, { inject: { headers: { a: '{{T}}' } } })).toEqual(['inject.headers']);
    expect(refused(empty, { inject: { env: 'all' } })).toEqual(['inject.env']);
  });
});

describe('oauth', () => {
  it('keeps no secret, remembers that there is one, and forgets it with another client', () => {
    const first = mergeDefinition(empty, { oauth: { clientId: 'a', clientSecret: 'hidden' } }, allow);
    expect(first.oauth).toEqual({ clientId: 'a', hasClientSecret: true });
    expect(mergeDefinition(first, { oauth: { clientId: 'a', scopes: ['x'] } }, allow).oauth?.hasClientSecret).toBe(
      true,
    );
    expect(mergeDefinition(first, { oauth: { clientId: 'b' } }, allow).oauth?.hasClientSecret).toBe(false);
    expect(mergeDefinition(first, { oauth: null }, allow).oauth).toBeNull();
  });

  it('refuses half a pair of endpoints and a secret without its client', () => {
    expect(issuesOf({ oauth: { tokenUrl: 'https://x.example/token' } })).toEqual(['oauth']);
    expect(issuesOf({ oauth: { clientSecret: 'hidden' } })).toEqual(['oauth.clientSecret']);
  });

  it('owns the names of its tokens', () => {
    expect(issuesOf({ secretNames: ['oauth.access_token'] })).toEqual(['secretNames']);
  });
});
