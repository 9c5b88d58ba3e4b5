// Where secrets go by example: templates, headers, query, arguments, and names that are weapons.
import type { Inject } from '@mcp-valet/shared';
import { neededSecrets, templateNames } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { InjectError, injectArguments, injectHeaders, injectQuery } from './inject.ts';

const alice = { id: 'usr_1', username: 'alice' };
const secrets = (entries: Record<string, string> | [string, string][]) =>
  new Map(Array.isArray(entries) ? entries : Object.entries(entries));
const nothing: ReadonlySet<string> = new Set();
const header = (template: string, values: Record<string, string>, user: typeof alice | null = alice) =>
  injectHeaders({ headers: { 'X-Test': template } }, secrets(values), user)['x-test'];

describe('a template', () => {
  it('is filled with the named secrets and the verified identity', () => {
    expect(header('Bearer {{TOKEN}}', { TOKEN: 't0k' })).toBe('Bearer t0k');
    expect(header('{{ A }}:{{B}}{{A}}', { A: '1', B: '2' })).toBe('1:21');
    expect(header('{{user.username}}/{{user.id}}', {})).toBe('alice/usr_1');
  });

  it('is filled in one pass: a value is never read as a template or a replacement pattern', () => {
    expect(header('{{A}}', { A: '{{B}}', B: 'other' })).toBe('{{B}}');
    expect(header('{{A}}', { A: '{{user.id}}' })).toBe('{{user.id}}');
    expect(header('<{{A}}>', { A: "$& $1 $$ $' $`" })).toBe("<$& $1 $$ $' $`>");
  });

  it('fails with the name, and the name only, when something is not there', () => {
    const failure = (template: string, user: typeof alice | null = alice) => {
      try {
        return header(template, { A: 'secret value' }, user);
      } catch (error) {
        return error;
      }
    };
    expect(failure('{{A}} {{MISSING}}')).toBeInstanceOf(InjectError);
    expect(failure('{{A}} {{MISSING}}')).toMatchObject({
      missing: 'MISSING',
      message: 'The connector needs the secret MISSING',
    });
    expect(failure('{{user.id}}', null)).toMatchObject({ missing: 'user.id' });
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'PATH', 'HOME']) {
      expect(failure(`{{${name}}}`)).toMatchObject({ missing: name });
    }
  });

  it('takes an identity from nowhere but the verified one', () => {
    const forged = { 'user.username': 'root', 'user.id': 'usr_0', 'claims.sub': 'root', 'user.email': 'root@x' };
    expect(header('{{user.username}} {{user.id}}', forged)).toBe('alice usr_1');
    expect(() => header('{{claims.sub}}', forged)).toThrow(InjectError);
    expect(() => header('{{user.email}}', forged)).toThrow(InjectError);
    expect(() => header('{{user.username}}', forged, null)).toThrow(InjectError);
  });

  it('tells the names it asks for', () => {
    expect(templateNames('{{A}} {{ b.c-d }} {{1x}} {A} {{}}')).toEqual(['A', 'b.c-d']);
    const inject: Inject = {
      headers: { a: '{{A}}{{user.id}}{{claims.sub}}' },
      query: { b: '{{A}}{{B}}' },
      args: { c: '{{C}}' },
    };
    expect(neededSecrets(inject)).toEqual(['A', 'B', 'C']);
    expect(neededSecrets({ args: 'all' })).toEqual([]);
    expect(neededSecrets(null)).toEqual([]);
  });
});

describe('headers', () => {
  it('are lower-cased, and a name that is a property of every object stays an ordinary one', () => {
    const inject: Inject = JSON.parse('{"headers":{"Authorization":"{{A}}","__proto__":"{{A}}","constructor":"x"}}');
    const headers = injectHeaders(inject, secrets({ A: 'v' }), null);
    expect(Object.entries(headers)).toEqual([
      ['authorization', 'v'],
      ['__proto__', 'v'],
      ['constructor', 'x'],
    ]);
    expect(injectHeaders(null, secrets({ A: 'v' }), alice)).toEqual({});
    expect(injectHeaders({ args: 'all' }, secrets({ A: 'v' }), alice)).toEqual({});
  });
});

describe('the query', () => {
  it('is added encoded, replaces a parameter of the same name and leaves the rest of the URL', () => {
    const inject: Inject = { query: { key: '{{A}}', u: '{{user.username}}' } };
    const url = new URL(
      injectQuery('https://x.example/mcp?key=old&key=older&b=1#f', inject, secrets({ A: 'a&b=c d' }), alice),
    );
    expect([...url.searchParams]).toEqual([
      ['key', 'a&b=c d'],
      ['b', '1'],
      ['u', 'alice'],
    ]);
    expect(url.origin + url.pathname).toBe('https://x.example/mcp');
  });

  it('leaves a URL without templates byte for byte', () => {
    expect(injectQuery('https://x.example/a b?%zz', null, secrets({ A: 'v' }), alice)).toBe(
      'https://x.example/a b?%zz',
    );
  });
});

describe('arguments', () => {
  const all = (
    args: Record<string, unknown>,
    values: Record<string, string> | [string, string][],
    mirrored = nothing,
  ) => injectArguments(args, null, secrets(values), alice, mirrored);

  it('gain every secret where nothing else is said, the secret winning over the caller', () => {
    expect(all({ text: 'hi', token: 'mine' }, { token: 's3cret', site: 'x' })).toEqual({
      text: 'hi',
      token: 's3cret',
      site: 'x',
    });
    expect(injectArguments({ a: 1 }, { args: 'all' }, secrets({ b: '2' }), null, nothing)).toEqual({ a: 1, b: '2' });
  });

  it('gain only what is declared where something is said, and nothing where arguments are not part of it', () => {
    const inject: Inject = { args: { auth: 'key {{A}}' } };
    expect(injectArguments({ x: 1 }, inject, secrets({ A: 'v', B: 'w' }), alice, nothing)).toEqual({
      x: 1,
      auth: 'key v',
    });
    expect(injectArguments({ x: 1 }, { headers: { h: '{{A}}' } }, secrets({ A: 'v' }), alice, nothing)).toEqual({
      x: 1,
    });
  });

  it('gain no secret that the upstream wants repeated in a header, and the caller keeps its own value there', () => {
    const mirrored = new Set(['region']);
    expect(all({ region: 'eu' }, { region: 's3cret', token: 't' }, mirrored)).toEqual({ region: 'eu', token: 't' });
    expect(all({}, { region: 's3cret' }, mirrored)).toEqual({});
    expect(injectArguments({}, { args: { region: '{{A}}' } }, secrets({ A: 'v' }), alice, mirrored)).toEqual({});
  });

  it('keep and gain names like __proto__ and constructor as own keys, and change no prototype', () => {
    const args = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":"mine"}') as Record<string, unknown>;
    const merged = all(args, [
      ['token', 't'],
      ['constructor', 's'],
    ]);
    expect(Object.getPrototypeOf(merged)).toBe(Object.prototype);
    expect(Object.entries(merged)).toEqual([
      ['__proto__', { isAdmin: true }],
      ['constructor', 's'],
      ['token', 't'],
    ]);
    const weapon = all({}, [['__proto__', 'v']]);
    expect(Object.getPrototypeOf(weapon)).toBe(Object.prototype);
    expect(Object.entries(weapon)).toEqual([['__proto__', 'v']]);
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined();
  });

  it("are not changed in the caller's object", () => {
    const args = Object.freeze({ token: 'mine' });
    expect(all(args, { token: 's' })).toEqual({ token: 's' });
    expect(args).toEqual({ token: 'mine' });
  });
});
