// The OpenAPI document as a client gets it: valid by the shape of OpenAPI 3.1, complete by the contract, and true: real replies fit its schemas.
import { contract, routes } from '@mcp-valet/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { openTestDatabase } from '../support/database.ts';
import type { Json } from '../support/gateway.ts';
import { type Stage, sendWire, startStage } from './stage.ts';
import { rows } from './table.ts';

/** The objects of OpenAPI 3.1.0 that the document may use; everything else in it is an error. Schemas are checked by compiling them. */
const ref = z.strictObject({
  $ref: z.string().regex(/^#\/components\/(schemas|parameters|headers|responses)\/[A-Za-z0-9._-]+$/),
});
const orRef = <T extends z.ZodType>(schema: T) => z.union([ref, schema]);
const schema = z.union([z.boolean(), z.record(z.string(), z.unknown())]);
const media = z.record(z.string(), z.strictObject({ schema, example: z.unknown().optional() }));
const header = z.strictObject({ description: z.string().optional(), required: z.boolean().optional(), schema });
const parameter = z
  .strictObject({
    name: z.string(),
    in: z.enum(['query', 'header', 'path', 'cookie']),
    description: z.string().optional(),
    required: z.boolean().optional(),
    schema,
  })
  .refine((value) => value.in !== 'path' || value.required === true, 'a path parameter is required');
const response = z.strictObject({
  description: z.string(),
  headers: z.record(z.string(), orRef(header)).optional(),
  content: media.optional(),
});
const operation = z.strictObject({
  operationId: z.string(),
  tags: z.array(z.string()).optional(),
  summary: z.string().optional(),
  description: z.string().optional(),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
  parameters: z.array(orRef(parameter)).optional(),
  requestBody: z
    .strictObject({ description: z.string().optional(), required: z.boolean().optional(), content: media })
    .optional(),
  responses: z.record(z.string().regex(/^[1-5](\d\d|XX)$|^default$/), orRef(response)),
});
const document = z.strictObject({
  openapi: z.string().regex(/^3\.1\.\d+$/),
  info: z.strictObject({
    title: z.string(),
    version: z.string(),
    description: z.string().optional(),
    license: z.unknown().optional(),
  }),
  jsonSchemaDialect: z.string().optional(),
  servers: z.array(z.strictObject({ url: z.string(), description: z.string().optional() })),
  security: z.array(z.record(z.string(), z.array(z.string()))),
  tags: z.array(z.strictObject({ name: z.string(), description: z.string().optional() })),
  paths: z.record(
    z.string().startsWith('/'),
    z.partialRecord(z.enum(['get', 'put', 'post', 'delete', 'patch']), operation),
  ),
  components: z.strictObject({
    schemas: z.record(z.string(), schema).optional(),
    parameters: z.record(z.string(), parameter).optional(),
    headers: z.record(z.string(), header).optional(),
    responses: z.record(z.string(), response).optional(),
    securitySchemes: z.record(
      z.string(),
      z.looseObject({ type: z.enum(['http', 'apiKey', 'oauth2', 'openIdConnect', 'mutualTLS']) }),
    ),
  }),
});

const publicUrl = 'https://mcp.example.com/valet';
let stage: Stage;
let found: Json;
beforeAll(async () => {
  stage = await startStage(() => openTestDatabase('pglite'), { VALET_PUBLIC_URL: publicUrl });
  found = (await stage.rig.send('/openapi.json')).body;
});
afterAll(() => stage?.close());

function references(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, entry]) => (name === '$ref' ? [String(entry)] : references(entry)));
}
const at = (pointer: string): unknown =>
  pointer
    .slice(2)
    .split('/')
    .reduce((value, part) => value?.[part], found);
/** A schema of the document as zod reads it, with the components that it refers to. */
const compiled = (part: Json) =>
  z.fromJSONSchema(
    JSON.parse(
      JSON.stringify({ ...part, $defs: found.components.schemas }).replaceAll('#/components/schemas/', '#/$defs/'),
    ),
  );

describe('/openapi.json', () => {
  it('is an OpenAPI 3.1 document', () => {
    expect(document.safeParse(found).error).toBeUndefined();
  });

  it('names the public URL', () => {
    expect(found.servers).toEqual([{ url: publicUrl }]);
  });

  it('holds no reference that leads nowhere', () => {
    const all = references(found);
    expect(all.length).toBeGreaterThan(100);
    expect(all.filter((pointer) => at(pointer) === undefined)).toEqual([]);
  });

  it.each(routes)('has $id, with its parameters, body and status', ({ route }) => {
    const entry = found.paths[route.path]?.[route.method.toLowerCase()];
    expect(entry.responses).toHaveProperty(String(route.status));
    expect(entry.requestBody !== undefined).toBe(route.body !== undefined);
    const parameters = entry.parameters.map((each: Json) => (each.$ref === undefined ? each : at(each.$ref)));
    const named = (place: string): string[] =>
      parameters.filter((each: Json) => each.in === place).map(({ name }: Json) => name);
    expect(named('path')).toEqual([...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name));
    expect(named('query').sort()).toEqual(Object.keys((route.query as Json)?.shape ?? {}).sort());
  });

  it('has no path that does not exist', async () => {
    const known = routes.map(({ route }) => route.path as string);
    const others = Object.keys(found.paths).filter((path) => !known.includes(path));
    expect(others.sort()).toEqual(['/mcp', '/mcp/{serverId}', '/mcp/{serverId}/{accessToken}']);
  });

  it.each(rows)('describes what $id really answers', async ({ id, route, sample }) => {
    const answer = await sendWire(stage, route, await sample.valid(stage), { key: stage.rig.admin });
    const { schema: described } =
      found.paths[route.path][route.method.toLowerCase()].responses[String(answer.status)].content['application/json'];
    expect(compiled(described).safeParse(answer.body).error, id).toBeUndefined();
  });

  it('describes what an error really is', async () => {
    for (const route of [contract.servers.get, contract.users.get, contract.secrets.set]) {
      const answer = await sendWire(stage, route, {});
      const { schema: described } =
        found.paths[route.path][route.method.toLowerCase()].responses['401'].content['application/json'];
      expect(compiled(described).safeParse(answer.body).error).toBeUndefined();
      expect(compiled(described).safeParse({}).success).toBe(false);
    }
  });
});
