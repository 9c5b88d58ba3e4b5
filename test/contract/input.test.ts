// What may be sent: every route refuses what its schema does not know, naming it, before it changes anything.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { testDatabases } from '../support/database.ts';
import type { Answer, Json } from '../support/gateway.ts';
import { type AnyWire, codeOf, pathOf, type Stage, sendWire, startStage } from './stage.ts';
import { managed } from './table.ts';

const issuePaths = ({ body }: Answer): string[] =>
  (body?.error?.details ?? body?.details)?.issues?.map(({ path }: Json) => path) ?? [];

describe.each(testDatabases())('input on $kind', ({ open }) => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await startStage(open);
  });
  afterAll(() => stage?.close());
  const send = (row: (typeof managed)[number], wire: AnyWire, headers = {}) =>
    sendWire(stage, row.route, wire, { key: stage.home.admin, headers });
  const expectInvalid = (answer: Answer, path: string): void => {
    expect([answer.status, codeOf(answer)], answer.text).toEqual([400, 'INVALID_REQUEST']);
    expect(issuePaths(answer)).toContain(path);
  };

  describe.each(managed)('$id', (row) => {
    const { sample } = row;

    it('refuses a query parameter that it does not know', async () => {
      const valid = await sample.valid(stage);
      expectInvalid(await send(row, { ...valid, query: { ...valid.query, nonsense: '1' } }), 'nonsense');
    });
  });

  // No client sends the body of a GET.
  describe.each(managed.filter(({ route }) => route.method !== 'GET'))('$id', (row) => {
    const { route, sample } = row;

    it('refuses a field of the body that it does not know, or any body where it takes none', async () => {
      const valid = await sample.valid(stage);
      const answer = await send(row, { ...valid, body: { ...(valid.body as object | undefined), nonsense: 1 } });
      expectInvalid(answer, route.body === undefined ? '' : 'nonsense');
    });

    it('refuses what is no JSON, what is another media type, and what is too much', async () => {
      const { params = {}, query = {} } = await sample.valid(stage);
      const path = pathOf(route, { params, query });
      const raw = (body: string, type = 'application/json') =>
        stage.rig.send(path, { method: route.method, key: stage.home.admin, body, headers: { 'content-type': type } });
      expect((await raw('{"a":')).status).toBe(400);
      expect((await raw('{} {}')).status).toBe(400);
      expect((await raw('a=1', 'application/x-www-form-urlencoded')).status).toBe(415);
      expect((await raw(`${'['.repeat(65)}${']'.repeat(65)}`)).status).toBe(400);
      const megabytes = route.plane === 'call' || route.largeBody === true ? 10 : 1;
      expect((await raw(`{"a":"${'x'.repeat(megabytes * 1024 * 1024)}"}`)).status).toBe(413);
    });
  });

  describe.each(managed.filter(({ sample }) => sample.invalid !== undefined))('$id', (row) => {
    it('refuses what breaks its schema, and names where', async () => {
      const { body, query, path = '' } = row.sample.invalid ?? {};
      const valid = await row.sample.valid(stage);
      expectInvalid(await send(row, { ...valid, ...(body !== undefined && { body }), ...(query && { query }) }), path);
    });
  });
});
