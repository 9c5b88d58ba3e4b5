// NET-1 on the management plane: thousands of generated requests per run, made from the contract's own schemas and spoilt in every way that
// parsers know. No 5xx, no crash, no unhandled rejection; each refusal has a code and the request's id.
import { routes } from '@mcp-valet/shared';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as z from 'zod/mini';
import { openTestDatabase } from '../support/database.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';
import { restFault } from './support/envelopes.ts';
import { almost, bodies, contentTypes, headerLists, queries, segments } from './support/garbage.ts';
import { inParallel, type Sent, Wire } from './support/wire.ts';
import { noLimits } from './support/world.ts';

const requestsPerRoute = 120;
/** Printed with every failure: the same seed makes the same requests. */
const seed = Number(process.env['VALET_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

const jsonSchema = (schema: unknown) =>
  schema === undefined
    ? {}
    : (z.toJSONSchema(schema as z.ZodMiniType, { io: 'input', unrepresentable: 'any' }) as object);

describe('garbage on REST routes', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  let wire: Wire;
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);

  beforeAll(async () => {
    process.on('unhandledRejection', note);
    rig = await startRig({
      database: await openTestDatabase('postgres'),
      env: { ...noLimits, LOG_LEVEL: 'trace' },
      logDestination: { write: () => undefined },
    });
    fixtures = await addFixtures(rig);
    wire = new Wire(rig.url, 16);
  });
  afterAll(async () => {
    process.off('unhandledRejection', note);
    await wire?.close();
    await rig?.close();
    await fixtures?.close();
  });

  function requests(method: string, path: string, schemas: { body?: unknown; query?: unknown }): fc.Arbitrary<Sent> {
    const { home } = fixtures;
    const keys = [home.admin, home.admin, home.admin, home.enterprise, home.alice.key, 'garbage'];
    // What exists stays: a route that deletes is asked about what does not.
    const good =
      method === 'DELETE'
        ? ['nobody', 'key_0']
        : ['alice', 'demo', home.server.serverId, home.alice.credentialId, 'nobody'];
    const parts = path.split('/').map((part) => (part.startsWith('{') ? segments(good) : fc.constant(part)));
    const names = Object.keys((jsonSchema(schemas.query) as { properties?: object }).properties ?? {});
    const hasBody = method !== 'GET' && method !== 'DELETE';
    const body = hasBody
      ? fc.option(bodies(almost(jsonSchema(schemas.body))), { nil: undefined, freq: 20 })
      : fc.option(bodies(fc.jsonValue()), { nil: undefined, freq: 1 });
    return fc
      .tuple(fc.tuple(...parts), queries(names), body, headerLists, contentTypes, fc.constantFrom(...keys))
      .map(([segment, query, content, headers, type, key]) => ({
        method,
        path: segment.join('/') + query,
        headers: [
          'authorization',
          `Bearer ${key}`,
          ...(content === undefined ? [] : ['content-type', type]),
          ...headers,
        ],
        body: content,
      }));
  }

  it('never ends in a 5xx or without an envelope', async () => {
    const faults: string[] = [];
    const statuses = new Map<number, number>();
    for (const { id, route } of routes) {
      const sample = fc.sample(requests(route.method, route.path, route), { numRuns: requestsPerRoute, seed });
      await inParallel(sample, 16, async (sent) => {
        const answer = await wire.send(sent);
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        const fault = restFault(answer);
        if (fault !== undefined)
          faults.push(
            `${id} ${sent.method} ${sent.path.slice(0, 100)} ${JSON.stringify(sent.headers?.slice(2)).slice(0, 160)} ${String(sent.body).slice(0, 200)}: ${fault}: ${answer.status} ${answer.text.slice(0, 200)}`,
          );
      });
    }
    expect(faults.slice(0, 12), `seed ${seed}`).toEqual([]);
    const total = [...statuses.values()].reduce((sum, count) => sum + count, 0);
    expect(total).toBe(routes.length * requestsPerRoute);
    // The generator is worth its name only if a good part gets past the first check.
    const passed =
      (statuses.get(200) ?? 0) + (statuses.get(201) ?? 0) + (statuses.get(404) ?? 0) + (statuses.get(409) ?? 0);
    expect(passed / total).toBeGreaterThan(0.1);
    expect(statuses.get(400) ?? 0).toBeGreaterThan(500);
  }, 120_000);

  it('answers paths that no route has with an envelope too', async () => {
    const faults: string[] = [];
    const paths = fc.tuple(
      fc.constantFrom('/', '/api/', '/users/', '/secrets/', '/keys/', '/api/servers/', '/admin', '/metrics'),
      segments(['x', 'nowhere']),
      queries([]),
    );
    const methods = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY');
    const sample = fc.sample(fc.tuple(methods, paths, headerLists), { numRuns: 500, seed });
    await inParallel(sample, 16, async ([method, [base, segment, query], headers]) => {
      const sent = {
        method,
        path: base + segment + query,
        headers: ['authorization', `Bearer ${fixtures.home.admin}`, ...headers],
      };
      const answer = await wire.send(sent);
      const fault = restFault(answer);
      if (fault !== undefined)
        faults.push(`${method} ${sent.path.slice(0, 100)}: ${fault}: ${answer.status} ${answer.text.slice(0, 200)}`);
    });
    expect(faults.slice(0, 12), `seed ${seed}`).toEqual([]);
  }, 60_000);

  it('is alive and well afterwards', async () => {
    const ready = await wire.send({ method: 'GET', path: '/readyz' });
    expect(ready.status).toBe(200);
    const me = await rig.manage('GET', '/api/me');
    expect(me.kind).toBe('adm');
    expect(unhandled).toEqual([]);
    // Prototype keys of thousands of bodies have left no trace.
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(({} as Record<string, unknown>)['isAdmin']).toBeUndefined();
  });
});
