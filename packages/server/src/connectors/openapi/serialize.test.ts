// The styles of OpenAPI parameters, against the table of the specification (3.1, "Style Examples").
import { describe, expect, it } from 'vitest';
import type { Parameter } from './document.ts';
import { headerText, pairsOf, pathText } from './serialize.ts';

const array = ['blue', 'black', 'brown'];
const object = { R: 100, G: 200, B: 150 };

const parameter = (over: Partial<Parameter>): Parameter => ({
  name: 'color',
  in: 'path',
  required: true,
  style: 'simple',
  explode: false,
  allowReserved: false,
  isJson: false,
  description: '',
  schema: {},
  ...over,
});

describe('a path parameter', () => {
  it.each([
    ['simple', false, 'blue', 'blue,black,brown', 'R,100,G,200,B,150'],
    ['simple', true, 'blue', 'blue,black,brown', 'R=100,G=200,B=150'],
    ['label', false, '.blue', '.blue,black,brown', '.R,100,G,200,B,150'],
    ['label', true, '.blue', '.blue.black.brown', '.R=100.G=200.B=150'],
    ['matrix', false, ';color=blue', ';color=blue,black,brown', ';color=R,100,G,200,B,150'],
    ['matrix', true, ';color=blue', ';color=blue;color=black;color=brown', ';R=100;G=200;B=150'],
  ] as const)('is written in style %s, explode %s', (style, explode, scalar, list, members) => {
    const of = (value: unknown) => pathText(parameter({ style, explode }), value);
    expect([of('blue'), of(array), of(object)]).toEqual([scalar, list, members]);
  });

  it('writes the empty text in matrix style as its bare name', () => {
    expect(pathText(parameter({ style: 'matrix' }), '')).toBe(';color');
  });

  it('encodes everything that has a meaning in a URL', () => {
    expect(pathText(parameter({}), "a/b?c#d%e&f=g;h:i@j!$'()*+,[]\\é")).toBe(
      'a%2Fb%3Fc%23d%25e%26f%3Dg%3Bh%3Ai%40j%21%24%27%28%29%2A%2B%2C%5B%5D%5C%C3%A9',
    );
  });

  it('separates a list of OpenAPI 2.0 as its collection format says', () => {
    expect(pathText(parameter({ style: 'pipeDelimited' }), ['a', 'b'])).toBe('a%7Cb');
  });
});

const query = (value: unknown, rules: Omit<Parameters<typeof pairsOf>[2], 'isJson'>, isForm = false): string =>
  pairsOf('color', value, rules, isForm)
    .map((pair) => pair.join('='))
    .join('&');

describe('a query parameter', () => {
  it.each([
    ['form', true, 'color=blue&color=black&color=brown', 'R=100&G=200&B=150'],
    ['form', false, 'color=blue,black,brown', 'color=R,100,G,200,B,150'],
    ['spaceDelimited', false, 'color=blue%20black%20brown', 'color=R%20100%20G%20200%20B%20150'],
    ['pipeDelimited', false, 'color=blue%7Cblack%7Cbrown', 'color=R%7C100%7CG%7C200%7CB%7C150'],
    ['tabDelimited', false, 'color=blue%09black%09brown', 'color=R%09100%09G%09200%09B%09150'],
    ['deepObject', true, 'color[0]=blue&color[1]=black&color[2]=brown', 'color[R]=100&color[G]=200&color[B]=150'],
  ] as const)('is written in style %s, explode %s', (style, explode, list, members) => {
    expect(query('a b&c', { style, explode })).toBe('color=a%20b%26c');
    expect(query(array, { style, explode })).toBe(list);
    expect(query(object, { style, explode })).toBe(members);
  });

  it('is not written when it is an empty list', () => {
    expect(query([], { style: 'form', explode: true })).toBe('');
  });

  it('writes nested objects with brackets all the way down', () => {
    expect(query({ a: { b: ['x', 'y z'] }, 'k[]': 1 }, { style: 'deepObject', explode: true })).toBe(
      'color[a][b][0]=x&color[a][b][1]=y%20z&color[k[]]=1',
    );
  });

  it('keeps reserved characters when allowed, except those that could start another parameter', () => {
    const text = query("/?:@!$'()*,;&=+#[]", { style: 'form', explode: true, allowReserved: true });
    expect(text).toBe("color=/?:@!$'()*,;%26%3D%2B%23%5B%5D");
  });

  it('is written as a form field with plus signs', () => {
    expect(query(['a b', 'ü&'], { style: 'form', explode: true }, true)).toBe('color=a+b&color=%C3%BC%26');
    expect(query(['a', 'b'], { style: 'form', explode: false }, true)).toBe('color=a%2Cb');
  });
});

describe('a header parameter', () => {
  it('is written unencoded, and as JSON where the document says so', () => {
    const of = (value: unknown, over: Partial<Parameter> = {}) =>
      headerText(parameter({ in: 'header', ...over }), value);
    expect([of('a b'), of(array), of(object), of(object, { explode: true }), of(object, { isJson: true })]).toEqual([
      'a b',
      'blue,black,brown',
      'R,100,G,200,B,150',
      'R=100,G=200,B=150',
      '{"R":100,"G":200,"B":150}',
    ]);
  });
});
