// The small readers of foreign text: waiting times, promises, event streams, URLs, ids. Malformed input is ignored or refused.
import { describe, expect, it } from 'vitest';
import { parsePromise, Verdict } from './idempotency.ts';
import { checkBaseUrl, checkRawPath, checkUserId, encodeSegment, fillPath, queryString } from './paths.ts';
import { exhaustedPolicy, retryAfterMs } from './retry-after.ts';
import { SseParser } from './sse.ts';

const now = Date.parse('2026-11-21T12:00:00Z');

describe('retryAfterMs', () => {
  const wait = (headers: Record<string, string>) => retryAfterMs(new Headers(headers), now);

  it('reads seconds, decimals and dates', () => {
    expect(wait({ 'retry-after': '90' })).toBe(90_000);
    expect(wait({ 'retry-after': '0.25' })).toBe(250);
    expect(wait({ 'retry-after': 'Sat, 21 Nov 2026 12:00:07 GMT' })).toBe(7000);
    expect(wait({ 'retry-after': 'Sat, 21 Nov 2026 11:00:00 GMT' })).toBe(0);
  });

  it('prefers the exact header, then Retry-After, then an exhausted RateLimit', () => {
    expect(wait({ 'retry-after-ms': '15', 'retry-after': '2', ratelimit: '"user";r=0;t=3' })).toBe(15);
    expect(wait({ 'retry-after': '2', ratelimit: '"user";r=0;t=3' })).toBe(2000);
    expect(wait({ ratelimit: '"user";r=0;t=3, "account";r=5;t=60' })).toBe(3000);
    expect(wait({ ratelimit: '"user";r=1;t=3' })).toBeUndefined();
  });

  it.each(['garbage', '-1', 'NaN', 'Infinity', '1e9', '0x10', '', 'garbage 5', '99999999999999999999'])(
    'ignores %j',
    (value) => {
      expect(wait({ 'retry-after': value })).toBeUndefined();
      expect(wait({ 'retry-after-ms': value })).toBeUndefined();
    },
  );

  it('never waits longer than an hour', () => {
    expect(wait({ 'retry-after': '999999999' })).toBe(3_600_000);
  });

  it('names the policy that is exhausted', () => {
    expect(exhaustedPolicy(new Headers({ ratelimit: '"account";r=5;t=9, "user";r=0;t=3' }))).toBe('user');
    expect(exhaustedPolicy(new Headers({ ratelimit: '"account";r=5' }))).toBeUndefined();
  });
});

describe('Verdict', () => {
  const header = 'ttl=86400, epoch="e1", durable';

  it('reads the promise and nothing malformed', () => {
    expect(parsePromise(header)).toEqual({ ttlMs: 86_400_000, epoch: 'e1', durable: true });
    expect(parsePromise('ttl=60,epoch="x"')).toEqual({ ttlMs: 60_000, epoch: 'x', durable: false });
    for (const wrong of ['', 'ttl=-1, epoch="x"', 'ttl=1', 'epoch="x"', 'ttl=1, epoch=x', 'ttl=1, epoch="a b"']) {
      expect(parsePromise(wrong)).toBeUndefined();
    }
  });

  it('believes for ten minutes, survives a proxy error, ends with a success that does not repeat it', () => {
    const verdict = new Verdict();
    verdict.learn(new Headers({ 'valet-idempotency': header }), true, 0);
    verdict.learn(new Headers(), false, 1000);
    expect(verdict.current(599_999)?.epoch).toBe('e1');
    expect(verdict.current(600_000)).toBeUndefined();
    verdict.learn(new Headers(), true, 2000);
    expect(verdict.current(2001)).toBeUndefined();
  });
});

describe('SseParser', () => {
  const text = ': hello\r\nevent: message\r\ndata: {"a":\r\ndata:1}\r\n\r\ndata\n\nid: 5\rdata: last\r\r';

  it('reads comments, every line ending, multi-line data and empty priming events', () => {
    const parser = new SseParser();
    expect([...parser.push(text), ...parser.end()]).toEqual(['{"a":\n1}', 'last']);
  });

  it('gives the same events wherever the stream is cut', () => {
    for (let cut = 0; cut <= text.length; cut++) {
      const parser = new SseParser();
      const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut)), ...parser.end()];
      expect(events).toEqual(['{"a":\n1}', 'last']);
    }
  });

  it('reads a long line in many pieces in linear time', () => {
    const parser = new SseParser();
    parser.push('data: ');
    for (let i = 0; i < 20_000; i++) parser.push('x'.repeat(500));
    expect(parser.push('\n\n')[0]).toHaveLength(10_000_000);
  });
});

describe('paths', () => {
  it.each(['', '.', '..', 'a\\b', 'a\u0000b', 'a\nb', '\ud800', 'x'.repeat(513), undefined, null, 5, {}])(
    'refuses the segment %j',
    (value) => {
      expect(() => encodeSegment(value, 'id')).toThrow(/^id must/);
    },
  );

  it.each(['a/b', '../x', '%2e%2e', 'ä', 'a?b#c', 'constructor', '__proto__'])('keeps %j one segment', (value) => {
    const path = new URL(`https://h${fillPath('/users/{username}/keys', { username: value })}`).pathname.split('/');
    expect(path).toHaveLength(4);
    expect(decodeURIComponent(path[2] ?? '')).toBe(value);
  });

  it.each(['', ' bob', 'bob ', 'bo\tb', 'bób', 'a\r\nx: y', undefined, null, 7, ['a']])(
    'refuses the user id %j',
    (value) => {
      expect(() => checkUserId(value)).toThrow(/^userId must/);
    },
  );

  it.each(['constructor', '__proto__', 'toString', 'a b', 'user+tag@example.com', 'usr_1'])(
    'accepts the user id %j',
    (value) => {
      expect(checkUserId(value)).toBe(value);
    },
  );

  it.each([
    'http://example.com',
    'ftp://x',
    'https://u:p@x',
    'https://x?a=1',
    'https://x#f',
    'https://x/%zz',
    '/mcp',
    '',
    5,
  ])('refuses the base URL %j without repeating it', (value) => {
    expect(() => checkBaseUrl(value, 'baseUrl', false)).toThrow(/^baseUrl must (?!.*example)/);
  });

  it.each(['http://localhost:8787', 'http://127.0.0.1', 'http://[::1]:1', 'http://a.localhost'])(
    'accepts loopback %j',
    (value) => {
      expect(checkBaseUrl(`${value}/p/`, 'baseUrl', false)).toBe(`${value}/p`);
    },
  );

  it('allows plain http elsewhere only when told', () => {
    expect(checkBaseUrl('http://internal', 'baseUrl', true)).toBe('http://internal');
  });

  it.each(['//x', 'x', '/a/../b', '/a/%2E%2e/b', '/a/.', '/a?b', '/a#b', '/a\\b', '/a b'])(
    'refuses the raw path %j',
    (value) => {
      expect(() => checkRawPath(value)).toThrow(/^path must/);
    },
  );

  it('writes queries without what is undefined', () => {
    expect(queryString({ a: 'x y', b: undefined, c: 1, d: false })).toBe('?a=x+y&c=1&d=false');
    expect(() => queryString({ a: {} })).toThrow(/a must be/);
  });
});
