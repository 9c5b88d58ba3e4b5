// From arguments to the URL and headers of a request: both forms of arguments, and what a caller can never set.
import { describe, expect, it } from 'vitest';
import { content, issuesOf, operation, pet } from './request-test-operation.ts';

const update = operation('put', '/pets/{id}', {
  parameters: [
    { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
    { name: 'tags', in: 'query', schema: { type: 'array', items: { type: 'string' } } },
    { name: 'X-Trace', in: 'header', schema: { type: 'string' } },
    { name: 'seen', in: 'cookie', schema: { type: 'boolean' } },
  ],
  requestBody: content(pet),
});

describe('arguments', () => {
  it('make the same request flat and wrapped', () => {
    const flat = update({ id: 'a/b', tags: ['x', 'y z'], 'X-Trace': 't', name: 'Rex', age: 3 });
    const wrapped = update({
      pathParams: { id: 'a/b' },
      queryParameters: { tags: ['x', 'y z'] },
      headers: { 'x-trace': 't' },
      requestBody: { name: 'Rex', age: 3 },
    });
    expect(wrapped).toEqual(flat);
    expect(flat).toEqual({
      method: 'PUT',
      url: 'https://api.example.com/v1/pets/a%2Fb?tags=x&tags=y%20z',
      headers: { accept: 'application/json, */*;q=0.5', 'content-type': 'application/json', 'x-trace': 't' },
      body: '{"name":"Rex","age":3}',
    });
  });

  it('may be a wrapped body beside flat parameters', () => {
    expect(update({ id: 'a', requestBody: { name: 'Rex' } }).url).toBe('https://api.example.com/v1/pets/a');
  });

  it('beside a wrapped body are put into it and win: so what the connector injects arrives', () => {
    expect(update({ id: 'a', requestBody: { name: 'Rex', age: 1 }, age: 2 }).body).toBe('{"name":"Rex","age":2}');
  });

  it('of a cookie become the Cookie header', () => {
    expect(update({ id: 'a', name: 'Rex', seen: true }).headers['cookie']).toBe('seen=true');
  });

  it('that are null are not sent as parameters, and are sent in JSON bodies', () => {
    const { url, body } = update({ id: 'a', tags: null, name: 'Rex', age: null });
    expect([url, body]).toEqual(['https://api.example.com/v1/pets/a', '{"name":"Rex","age":null}']);
  });

  it('of one name in two places are told apart', () => {
    const both = operation('post', '/x/{id}', {
      parameters: [{ name: 'id', in: 'path', required: true }],
      requestBody: content({ type: 'object', properties: { id: { type: 'string' } } }),
    });
    expect(both({ id__path: 'p', id: 'b' })).toMatchObject({
      url: 'https://api.example.com/v1/x/p',
      body: '{"id":"b"}',
    });
  });

  it('called like a wrapper are arguments where the operation has them', () => {
    const hook = operation('post', '/hooks', {
      requestBody: content({ type: 'object', properties: { url: { type: 'string' }, headers: { type: 'object' } } }),
    });
    expect(hook({ url: 'u', headers: { a: 'b' } }).body).toBe('{"url":"u","headers":{"a":"b"}}');
  });

  it('that are required fall back to their default; others are left to the upstream', () => {
    const search = operation('get', '/s', {
      parameters: [
        { name: 'v', in: 'query', required: true, schema: { type: 'string', default: '2' } },
        { name: 'limit', in: 'query', schema: { type: 'integer', default: 10 } },
      ],
    });
    expect(search({}).url).toBe('https://api.example.com/v1/s?v=2');
  });
});

describe('wrong arguments', () => {
  it('are all told at once, in the words of the form that was used', () => {
    expect(issuesOf(() => update({ tags: { a: 1 }, age: 'old', colour: 'red' }))).toEqual([
      'colour is not known',
      'id is required',
      'tags must be an array',
      'name is required',
      'age must be an integer',
    ]);
    expect(
      issuesOf(() =>
        update({ pathParams: { nope: 1 }, queryParameters: [], requestBody: { name: 5 }, headers: { 'b a': '1' } }),
      ),
    ).toEqual([
      'queryParameters must be an object',
      'pathParams.nope is not a path parameter of this operation',
      'headers.b a is not a header name',
      'pathParams.id is required',
      'requestBody.name must be a string',
    ]);
  });

  it('never show a value', () => {
    const secret = 'do-not-show-me';
    expect(issuesOf(() => update({ id: 'a', name: { secret }, age: secret })).join()).not.toContain(secret);
  });

  it('are checked inside of bodies, through references and alternatives', () => {
    const schemas = {
      Item: { type: 'object', required: ['sku'], properties: { sku: { type: 'string', maxLength: 3 } } },
    };
    const kind = { anyOf: [{ type: 'string', enum: ['a', 'b'] }, { type: 'integer' }] };
    const order = operation(
      'post',
      '/orders',
      {
        requestBody: content({
          type: 'object',
          properties: { items: { type: 'array', items: { $ref: '#/components/schemas/Item' } }, kind },
        }),
      },
      { components: { schemas } },
    );
    expect(issuesOf(() => order({ items: [{ sku: 'ok' }, {}, { sku: 'long' }], kind: 'c' }))).toEqual([
      'items[1].sku is required',
      'items[2].sku must have at most 3 characters',
      'kind has none of the allowed forms',
    ]);
    expect(issuesOf(() => order({ items: [], kind: 4 }))).toEqual([]);
  });

  it('include a body where there is none', () => {
    const read = operation('get', '/r', {});
    expect(issuesOf(() => read({ requestBody: { a: 1 } }))).toEqual([
      'requestBody cannot be sent: this operation takes no body',
    ]);
    expect(read({ requestBody: {} }).url).toBe('https://api.example.com/v1/r');
  });
});

describe('a path', () => {
  const file = operation('get', '/files/{name}/raw', { parameters: [{ name: 'name', in: 'path', required: true }] });
  it.each(['..', '.', '%2e%2E', ''])('is never left by %j', (name) => {
    // An encoded percent sign is text: only what a URL parser reads as dots is refused.
    const issues = issuesOf(() => file({ name }));
    if (name.startsWith('%')) expect(file({ name }).url).toBe('https://api.example.com/v1/files/%252e%252E/raw');
    else expect(issues).toEqual([expect.stringMatching(/^name must not be (empty|"." or "..")$/)]);
  });
  it('may have a query of its own', () => {
    const action = operation('get', '/x?Action=Go#fragment', { parameters: [{ name: 'q', in: 'query' }] });
    expect(action({ q: '1&2' }).url).toBe('https://api.example.com/v1/x?Action=Go&q=1%262');
  });
});

describe('headers', () => {
  const secured = operation(
    'post',
    '/s',
    {
      parameters: [
        { name: 'Authorization', in: 'header' },
        { name: 'x-key', in: 'header' },
        { name: 'key', in: 'query' },
      ],
      requestBody: { ...content({ type: 'object', properties: {} }), required: false },
      security: [{ header: [] }],
    },
    {
      components: {
        securitySchemes: {
          header: { type: 'apiKey', in: 'header', name: 'X-Key' },
          query: { type: 'apiKey', in: 'query', name: 'key' },
        },
      },
    },
  );
  it.each([
    'Authorization',
    'cookie',
    'HOST',
    'Content-Length',
    'Transfer-Encoding',
    'Connection',
    'Upgrade',
    'X-Key',
    'X-Forwarded-For',
    'Proxy-Authorization',
    'X-HTTP-Method-Override',
    'x-fixed',
  ])('%s cannot be set by a caller', (name) => {
    const options = { headers: { 'x-fixed': 'ours' } };
    expect(issuesOf(() => secured({ additionalHeaders: { [name]: 'evil' } }, options))).toEqual([
      `additionalHeaders.${name} is set by the gateway`,
    ]);
  });
  it('that a scheme fills are no arguments', () => {
    expect(issuesOf(() => secured({ 'x-key': 'evil', key: 'evil', queryParameters: { key: 'evil' } }))).toEqual([
      'queryParameters.key is set by the gateway',
      'x-key is set by the gateway',
      'key is set by the gateway',
    ]);
  });
  it('of a caller cannot break out of their line', () => {
    expect(issuesOf(() => secured({ headers: { 'x-a': 'a\r\nx-key: evil', 'x-b\r\n': '1' } }))).toHaveLength(2);
  });
  it('carry a session cookie of a scheme as it was issued, and never as two', () => {
    const cookies: [string, string][] = [
      ['sid', 'a/b+c=='],
      ['other', 'x; admin=1'],
    ];
    const { headers } = secured({}, { security: { headers: {}, query: [], cookies } });
    expect(headers['cookie']).toBe('sid=a/b+c==; other=x%3B%20admin%3D1');
  });
  it('of the connector win over those of the document', () => {
    const security = { headers: { 'x-key': 'secret' }, query: [['key', 'a b']] as [string, string][], cookies: [] };
    const { url, headers } = secured({ requestBody: { a: 1 } }, { security, headers: { accept: 'text/plain' } });
    expect(url).toBe('https://api.example.com/v1/s?key=a%20b');
    expect(headers).toEqual({ accept: 'text/plain', 'content-type': 'application/json', 'x-key': 'secret' });
  });
});

describe('the base URL', () => {
  it('of the connector replaces the document’s, path and query included', () => {
    const read = operation('get', '/r', { parameters: [{ name: 'q', in: 'query' }] });
    expect(read({ q: 1 }, { baseUrl: 'http://127.0.0.1:8080/api/?v=1#x' }).url).toBe(
      'http://127.0.0.1:8080/api/r?v=1&q=1',
    );
  });
  it('is needed where the document names none', () => {
    const read = operation('get', '/r', {}, { servers: [{ url: '/v1' }] });
    expect(() => read({})).toThrow('the connector needs a baseUrl');
  });
});

describe('a token that the document describes as a parameter too', () => {
  const token = (place: string) => ({
    name: 'token',
    in: place,
    required: true,
    description: 'Authentication token.',
    schema: {},
  });
  const scheme = { components: { securitySchemes: { o: { type: 'oauth2', flows: {} } } }, security: [{ o: [] }] };
  it('is asked of nobody and taken from nobody', () => {
    const read = operation(
      'get',
      '/r',
      { parameters: [token('query'), { ...token('header'), name: 'page_token' }] },
      scheme,
    );
    expect(issuesOf(() => read({ token: 'mine' }))).toEqual(['token is set by the gateway', 'page_token is required']);
    expect(read({ page_token: 'p' }).url).toBe('https://api.example.com/v1/r');
  });
  it('stays an argument of operations that no token opens', () => {
    const read = operation('get', '/r', { parameters: [token('query')] });
    expect(read({ token: 't' }).url).toBe('https://api.example.com/v1/r?token=t');
  });
});
