// From arguments to the body of a request: JSON, forms, files and text, and the parameters of OpenAPI 2.0.
import { describe, expect, it } from 'vitest';
import { importDocument } from './import.ts';
import { buildRequest } from './request.ts';
import { content, issuesOf, operation, pet } from './request-test-operation.ts';

describe('a body', () => {
  it('as a form follows its encodings; composites without one are JSON', () => {
    const schema = {
      type: 'object',
      properties: {
        tags: { type: 'array', items: {} },
        csv: { type: 'array', items: {} },
        deep: {},
        blocks: { type: 'string' },
        o: {},
      },
    };
    const encoding = { csv: { explode: false }, deep: { style: 'deepObject', explode: true } };
    const form = operation('post', '/f', {
      requestBody: content(schema, 'application/x-www-form-urlencoded', { encoding }),
    });
    const sent = form({ tags: ['a b', 1], csv: ['x', 'y'], deep: { m: { n: 1 } }, blocks: [{ t: 1 }], o: { p: true } });
    expect(sent.headers['content-type']).toBe('application/x-www-form-urlencoded');
    expect(sent.body).toBe(
      'tags=a+b&tags=1&csv=x%2Cy&deep[m][n]=1&blocks=%5B%7B%22t%22%3A1%7D%5D&o=%7B%22p%22%3Atrue%7D',
    );
  });

  it('as multipart carries files, and no name can end its header', () => {
    const schema = {
      type: 'object',
      properties: { file: { type: 'string', format: 'binary' }, note: { type: 'string' }, meta: { type: 'object' } },
    };
    const upload = operation('post', '/u', { requestBody: content(schema, 'multipart/form-data') });
    const base64 = Buffer.from([0, 255, 13, 10]).toString('base64');
    const sent = upload({
      file: { base64, filename: 'a"\r\nX: y.png', contentType: 'image/png' },
      note: 'hi',
      meta: { a: 1 },
    });
    const boundary = /boundary=(valet-[0-9a-f]{36})$/.exec(sent.headers['content-type'] ?? '')?.[1];
    expect(
      Buffer.from(sent.body ?? '')
        .toString('latin1')
        .split(`--${boundary}`),
    ).toEqual([
      '',
      '\r\nContent-Disposition: form-data; name="file"; filename="a%22%0D%0AX: y.png"\r\nContent-Type: image/png\r\n\r\n\x00\xff\r\n\r\n',
      '\r\nContent-Disposition: form-data; name="note"\r\n\r\nhi\r\n',
      '\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n{"a":1}\r\n',
      '--\r\n',
    ]);
    expect(issuesOf(() => upload({ file: { base64: '!' } }))).toEqual(['file has base64 that cannot be read']);
  });

  it('as bytes or text travels as it is', () => {
    const bytes = operation('put', '/b', { requestBody: content({}, 'application/octet-stream') });
    expect(Buffer.from(bytes({ body: { base64: 'AP8=' } }).body ?? '')).toEqual(Buffer.from([0, 255]));
    const text = operation('post', '/t', { requestBody: content({ type: 'string' }, 'text/markdown') });
    expect(text({ requestBody: '# hi' })).toMatchObject({ headers: { 'content-type': 'text/markdown' }, body: '# hi' });
  });

  it('that is open takes more than it names, flat and wrapped; one that says nothing only wrapped', () => {
    const schema = { type: 'object', properties: { a: {} } };
    const open = operation('post', '/o', { requestBody: content({ ...schema, additionalProperties: true }) });
    const silent = operation('post', '/s', { requestBody: content(schema) });
    expect([open({ a: 1, b: 2 }).body, open({ requestBody: { b: 2 } }).body]).toEqual(['{"b":2,"a":1}', '{"b":2}']);
    expect(issuesOf(() => silent({ a: 1, b: 2 }))).toEqual(['b is not known']);
    expect(silent({ requestBody: { b: 2 } }).body).toBe('{"b":2}');
  });

  it('that is a list is the argument body', () => {
    const list = operation('post', '/l', { requestBody: content({ type: 'array', items: { type: 'integer' } }) });
    expect([list({ body: [1, 2] }).body, list({ requestBody: [1, 2] }).body]).toEqual(['[1,2]', '[1,2]']);
    expect(issuesOf(() => list({ body: [1, 'x'] }))).toEqual(['body[1] must be an integer']);
    expect(issuesOf(() => list({}))).toEqual(['body is required']);
  });

  it('is JSON where the document offers it, and another kind where the caller asks for one that it offers', () => {
    const requestBody = {
      content: { 'application/x-www-form-urlencoded': { schema: pet }, 'application/json': { schema: pet } },
    };
    const either = operation('post', '/e', { requestBody });
    expect(either({ name: 'Rex' }).body).toBe('{"name":"Rex"}');
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    expect(either({ requestBody: { name: 'Rex' }, headers }).body).toBe('name=Rex');
    expect(
      issuesOf(() => either({ requestBody: { name: 'R' }, headers: { 'content-type': 'text/xml' } })),
    ).toHaveLength(1);
  });
});

describe('an operation of OpenAPI 2.0', () => {
  const swagger = (parameters: object[], more: object = {}) => {
    const { compiled } = importDocument({
      swagger: '2.0',
      host: 'api.example.com',
      paths: { '/x/{id}': { parameters: [{ $ref: '#/parameters/Id' }], post: { parameters, ...more } } },
      parameters: {
        Id: { name: 'id', in: 'path', required: true, type: 'integer' },
        Body: { name: 'b', in: 'body', required: true, schema: pet },
      },
    });
    return (args: Record<string, unknown>) => buildRequest(compiled, compiled.operations[0] as never, args);
  };
  it('writes arrays by their collection format', () => {
    const list = (name: string, collectionFormat?: string) => ({
      name,
      in: 'query',
      type: 'array',
      items: { type: 'string' },
      collectionFormat,
    });
    const lists = swagger([list('c'), list('s', 'ssv'), list('t', 'tsv'), list('p', 'pipes'), list('m', 'multi')]);
    const given = ['a', 'b'];
    expect(lists({ id: 1, c: given, s: given, t: given, p: given, m: given }).url).toBe(
      'https://api.example.com/x/1?c=a,b&s=a%20b&t=a%09b&p=a%7Cb&m=a&m=b',
    );
  });
  it('takes a body by reference', () => {
    expect(swagger([{ $ref: '#/parameters/Body' }])({ id: 1, name: 'Rex' })).toMatchObject({ body: '{"name":"Rex"}' });
  });
  it('sends form fields as a form, and as multipart with a file', () => {
    const field = { name: 'n', in: 'formData', type: 'string' };
    expect(swagger([field])({ id: 1, n: 'a b' })).toMatchObject({ body: 'n=a+b' });
    const file = swagger([field, { name: 'f', in: 'formData', type: 'file' }], { consumes: ['application/json'] });
    expect(file({ id: 1, f: 'text' }).headers['content-type']).toMatch(/^multipart\/form-data; boundary=/);
  });
});
