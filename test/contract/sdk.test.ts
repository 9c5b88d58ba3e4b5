// Every route of the contract through the SDK: what it resolves to is what the contract says, and every refusal is an error of the right class.
import { AuthenticationError, type MCPClient, NotFoundError, PermissionError, ValetError } from '@mcp-valet/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import { callSdk, wireForm } from './sdk-call.ts';
import { type AnyWire, type Stage, startStage } from './stage.ts';
import { headerKinds, keyOf, managed, type Row, rows } from './table.ts';

describe.each(testDatabases())('the SDK on $kind', ({ open }) => {
  let stage: Stage;
  let admin: MCPClient;
  beforeAll(async () => {
    stage = await startStage(open);
    admin = stage.rig.sdk(stage.home.admin);
  });
  afterAll(() => stage?.close());

  const failure = async (key: string, { id, route }: Row, wire: AnyWire): Promise<ValetError> => {
    const outcome = await Promise.resolve(callSdk(stage.rig.sdk(key, { maxRetries: 0 }), id, route, wire)).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if ('error' in outcome && outcome.error instanceof ValetError) return outcome.error;
    throw new Error(`${id} did not fail as a call of the SDK`, { cause: outcome });
  };

  describe.each(rows)('$id', ({ id, route, sample }) => {
    it('resolves to what the contract says', async () => {
      const resolved = await callSdk(admin, id, route, await sample.valid(stage));
      const { value, schema } = wireForm(id, route, resolved);
      expect(schema.safeParse(value).error).toBeUndefined();
      for (const name of route.oneTime ?? [])
        expect(JSON.stringify(resolved)).not.toContain(String((value as Record<string, unknown>)[name]));
    });
  });

  describe.each(managed)('$id', (row) => {
    it('throws AuthenticationError for a key that opens nothing', async () => {
      const error = await failure(stage.dead.revoked, row, await row.sample.valid(stage));
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(error).toMatchObject({ code: 'UNAUTHORIZED', status: 401, executed: 'no', retryable: false });
    });
  });

  const wrongKinds = managed.flatMap((row) =>
    headerKinds.filter((kind) => !row.route.access.includes(kind)).map((kind) => ({ ...row, kind })),
  );
  describe.each(wrongKinds)('$id with a key of kind $kind', ({ kind, ...row }) => {
    it('throws PermissionError', async () => {
      const error = await failure(keyOf(stage, kind), row, await row.sample.valid(stage));
      expect(error).toBeInstanceOf(PermissionError);
      expect(error).toMatchObject({ code: 'FORBIDDEN', status: 403 });
    });
  });

  const masked = managed.flatMap((row) =>
    Object.entries(row.sample.masked ?? {}).map(([what, requests]) => ({ ...row, what, requests })),
  );
  describe.each(masked)('$id for the $what of another account', ({ requests, ...row }) => {
    it('throws the NotFoundError of a missing one', async () => {
      const [foreign, missing] = [
        await failure(stage.home.admin, row, await requests.foreign(stage)),
        await failure(stage.home.admin, row, await requests.missing(stage)),
      ];
      expect(foreign).toBeInstanceOf(NotFoundError);
      expect([foreign.code, foreign.message, foreign.status]).toEqual([missing.code, missing.message, 404]);
      expect(foreign.requestId).toMatch(/^req_/);
    });
  });
});
