// What a reader of /openapi.json may rely on: it is complete, every reference leads somewhere, and nothing internal leaks into it.
import { errorTable, routes } from '@mcp-valet/shared';
import { describe, expect, it } from 'vitest';
import { createOpenApi } from './openapi.ts';

interface Operation {
  operationId: string;
  security?: unknown[];
  parameters: { $ref?: string; name?: string; in?: string; required?: boolean }[];
  requestBody?: { required: boolean; content: Record<string, { schema: Record<string, unknown> }> };
  responses: Record<string, { content?: Record<string, { schema: Record<string, unknown> }> }>;
}
const document = createOpenApi({ version: '1.2.3', url: 'https://mcp.example.com' }) as {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, Record<string, unknown>>>;
};
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation })),
);

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, entry]) => (name === '$ref' ? [String(entry)] : references(entry)));
}

describe('the OpenAPI document', () => {
  it.each(routes.map(({ id, route }) => ({ id, route })))(
    'has $id with its status and every declared error',
    ({ route }) => {
      const operation = document.paths[route.path]?.[route.method.toLowerCase()];
      const statuses = Object.keys(operation?.responses ?? {});
      expect(statuses).toEqual(
        expect.arrayContaining([String(route.status), ...route.errors.map((code) => String(errorTable[code].status))]),
      );
    },
  );

  it('has the three MCP endpoints', () => {
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/mcp', '/mcp/{serverId}', '/mcp/{serverId}/{accessToken}']),
    );
  });

  it('holds only references that lead to a component', () => {
    const all = references(document);
    expect(all.length).toBeGreaterThan(300);
    for (const reference of all) {
      const [, , kind = '', name = ''] = reference.split('/');
      expect(reference, 'a local component').toMatch(/^#\/components\/(schemas|parameters|headers)\/\w+$/);
      expect(document.components[kind], reference).toHaveProperty(name);
    }
  });

  it('declares every placeholder of a path, and nothing else, as path parameter', () => {
    for (const { path, operation } of operations) {
      const declared = operation.parameters
        .filter((parameter) => parameter.in === 'path')
        .map((parameter) => parameter.name);
      expect(declared, path).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
    }
  });

  it('gives every operation an id of its own', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('marks as open what needs no key, and nothing else', () => {
    const open = operations.filter(({ operation }) => operation.security?.length === 0).map(({ path }) => path);
    expect([...new Set(open)].sort()).toEqual([
      '/health',
      '/healthz',
      '/mcp/{serverId}/{accessToken}',
      '/openapi.json',
      '/readyz',
    ]);
  });

  it('answers each dialect with its own error envelope', () => {
    const envelope = (path: string, method: string) =>
      document.paths[path]?.[method]?.responses['401']?.content?.['application/json']?.schema['$ref'];
    expect(envelope('/api/servers', 'post')).toBe('#/components/schemas/ApiError');
    expect(envelope('/users', 'post')).toBe('#/components/schemas/UsersError');
    expect(envelope('/secrets/set', 'post')).toBe('#/components/schemas/SecretsError');
  });

  it('closes request bodies and leaves replies open to new fields', () => {
    const body = document.paths['/api/servers']?.['post']?.requestBody;
    expect(body?.required).toBe(true);
    expect(body?.content['application/json']?.schema).toMatchObject({
      additionalProperties: false,
      required: ['name'],
    });
    expect(document.components['schemas']?.['Server']).not.toHaveProperty('additionalProperties');
  });

  it('tells where bodies may be left out', () => {
    expect(document.paths['/users/{username}/enable']?.['patch']?.requestBody?.required).toBe(false);
  });

  it('is plain JSON: it survives being sent', () => {
    expect(JSON.parse(JSON.stringify(document))).toEqual(document);
  });
});
