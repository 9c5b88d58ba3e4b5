// The pages escape what they are given, carry the one style that their policy allows, and name nobody before a person is proven.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  brokenPage,
  connectedPage,
  consentPage,
  endedPage,
  escaped,
  failedPage,
  forbiddenPage,
  secretsPage,
  signInPage,
  styleSource,
} from './pages.ts';

const hostile = `"><script>alert('x')</script>&\u202Egnp.exe\u0000`;

const all = () => [
  endedPage(),
  forbiddenPage(),
  brokenPage(503, hostile),
  signInPage({ csrf: hostile, problem: hostile }),
  consentPage({
    csrf: hostile,
    username: hostile,
    connector: hostile,
    label: hostile,
    host: hostile,
    scopes: [hostile],
    insecureOrigin: undefined,
  }),
  secretsPage({
    csrf: hostile,
    username: hostile,
    connector: hostile,
    names: [hostile],
    problem: hostile,
    returnOrigin: undefined,
  }),
  connectedPage(hostile),
  failedPage('access_denied'),
];

describe('a page', () => {
  it('holds no markup, control or direction character of what it is given', () => {
    for (const { html } of all()) {
      expect(html).not.toMatch(/<script|alert\('x'\)/);
      for (const hidden of ['\u202E', '\u0000']) expect(html).not.toContain(hidden);
      expect(
        html.match(
          /<(?!\/?(!doctype|html|head|meta|title|style|body|main|p|h1|form|input|label|button|footer|code|dl|div|dt|dd|ul|li)\b)/gi,
        ),
      ).toBeNull();
    }
    expect(escaped(`<a href='b' c="d">&`)).toBe('&lt;a href=&#39;b&#39; c=&quot;d&quot;&gt;&amp;');
  });

  it('has exactly the style that the policy names', () => {
    for (const { html } of all()) {
      const [, style = ''] = /<style>([\s\S]*?)<\/style>/.exec(html) ?? [];
      expect(`'sha256-${createHash('sha256').update(style).digest('base64')}'`).toBe(styleSource);
      expect(html.match(/style/g)).toHaveLength(2);
    }
  });

  it('lets a form lead to where its next step is, and nowhere else', () => {
    expect(signInPage({ csrf: 'c' }).formAction).toEqual([]);
    expect(endedPage().formAction).toEqual([]);
    const facts = { csrf: 'c', username: 'u', connector: 'k', label: null, host: 'h', scopes: [] };
    expect(consentPage({ ...facts, insecureOrigin: undefined }).formAction).toEqual(['https:']);
    expect(consentPage({ ...facts, insecureOrigin: 'http://127.0.0.1:1' }).formAction).toEqual([
      'https:',
      'http://127.0.0.1:1',
    ]);
  });

  it('with a form asks browsers to say where the form comes from; the gateway refuses `Origin: null`', () => {
    for (const { html } of all()) {
      expect(html.includes('<meta name="referrer" content="same-origin">')).toBe(html.includes('<form'));
    }
  });
});
