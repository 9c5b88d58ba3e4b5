// How things of connectors are named on an endpoint and found again by that name: what is listed can be called.
import { describe, expect, it } from 'vitest';
import type { UpstreamList } from '../connectors/lists.ts';
import { candidateConnectors, namedItems, type Prefix, publishedName, publishedUri, splitUri } from './names.ts';

const listOf = (...names: string[]): UpstreamList => ({
  items: names.map((name) => ({ name })),
  ttlMs: 0,
  dropped: [],
  readAt: 0,
});

describe('publishedName', () => {
  it('is connector and name in the alphabet of agent frameworks', () => {
    expect(publishedName('slack', 'chat_postMessage', 'connector')).toBe('slack__chat_postMessage');
    expect(publishedName('slack', 'a b/ü.c-1', 'connector')).toBe('slack__a_b__.c-1');
  });

  it('is cut at 64 characters and told apart by a digest of the whole name', () => {
    const long = 'x'.repeat(100);
    const [a, b] = [publishedName('slack', `${long}1`, 'connector'), publishedName('slack', `${long}2`, 'connector')];
    expect(a).toMatch(/^slack__x{48}_[0-9a-f]{8}$/);
    expect(a).toHaveLength(64);
    expect(a).not.toBe(b);
    expect(publishedName('slack', 'y'.repeat(57), 'connector')).toBe(`slack__${'y'.repeat(57)}`);
  });

  it('is the own name without a prefix', () => {
    expect(publishedName('slack', 'a b/ü', 'none')).toBe('a b/ü');
  });
});

describe('what is listed', () => {
  const connectors = [
    'slack',
    'slack_',
    'slack__x',
    'a',
    `c${'o'.repeat(63)}`,
    `c${'o'.repeat(53)}`,
    `c${'o'.repeat(52)}`,
  ];
  const names = ['send', '_send', 'x__send', 'a'.repeat(70), 'ü', 'a.b', '__proto__', 'constructor'];

  it.each(['connector', 'none'] as Prefix[])('is found again by its published name, with prefix %s', (prefix) => {
    for (const id of connectors) {
      for (const [published, { name }] of namedItems(id, listOf(...names), prefix)) {
        expect(candidateConnectors(published, connectors, prefix), `${id} ${name}`).toContain(id);
        expect(published).toMatch(prefix === 'none' ? /^/ : /^[A-Za-z0-9_.-]{1,64}$/);
      }
    }
  });

  it('is looked for at the longest connector id first', () => {
    expect(candidateConnectors('slack__x__send', connectors, 'connector')).toEqual(['slack__x', 'slack']);
    expect(candidateConnectors('slack_send', connectors, 'connector')).toEqual([]);
    expect(candidateConnectors('send', ['a', 'b'], 'none')).toEqual(['a', 'b']);
  });

  it('is in the order of published names, by code unit', () => {
    expect([...namedItems('c', listOf('b', 'a', 'B', '1', 'a2'), 'connector').keys()]).toEqual([
      'c__1',
      'c__B',
      'c__a',
      'c__a2',
      'c__b',
    ]);
  });

  it('is the first of equal names, and its own item', () => {
    const list = listOf('a b', 'a_b', 'a/b');
    const named = namedItems('c', list, 'connector');
    expect([...named]).toEqual([['c__a_b', { name: 'a b', item: list.items[0] }]]);
  });

  it('is worked out once per list, and per connector and prefix', () => {
    const list = listOf('a');
    expect(namedItems('c', list, 'connector')).toBe(namedItems('c', list, 'connector'));
    expect([...namedItems('d', list, 'connector').keys()]).toEqual(['d__a']);
    expect([...namedItems('c', list, 'none').keys()]).toEqual(['a']);
    expect(namedItems('c', listOf('a'), 'connector')).not.toBe(namedItems('c', list, 'connector'));
  });
});

describe('URIs', () => {
  it('go out and come back, whatever they hold', () => {
    const ids = ['docs', 'docs-2', 'd'];
    for (const prefix of ['connector', 'none'] as const) {
      for (const uri of ['file:///a', 'test://{id}/data', 'a+b', '', 'docs+x']) {
        const given = prefix === 'none' ? ['docs'] : ids;
        expect(splitUri(publishedUri('docs', uri, prefix), given, prefix)).toEqual({ connectorId: 'docs', uri });
      }
    }
    expect(publishedUri('docs', 'file:///a', 'connector')).toBe('docs+file:///a');
  });

  it('belong to nobody when no connector of the server has them', () => {
    expect(splitUri('other+file:///a', ['docs'], 'connector')).toBeUndefined();
    expect(splitUri('docs', ['docs'], 'connector')).toBeUndefined();
    expect(splitUri('file:///a', [], 'none')).toBeUndefined();
  });
});
