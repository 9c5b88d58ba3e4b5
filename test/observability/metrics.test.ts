// GET /metrics: the format, the counts against what was called, the bound on label sets, what is never in it, and who may read it.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LabelSets } from '../../packages/server/src/metrics/label-sets.ts';
import { createExposition } from '../../packages/server/src/metrics/prometheus.ts';
import { addFixtures, type Fixtures, type Rig, startRig } from '../support/gateway.ts';
import { type Family, parseExposition, total } from './exposition.ts';

const token = randomBytes(24).toString('hex');

describe('GET /metrics', () => {
  let rig: Rig;
  let fixtures: Fixtures;
  beforeAll(async () => {
    rig = await startRig({ env: { VALET_METRICS_TOKEN: token, VALET_RATE_LIMIT: '1000' } });
    fixtures = await addFixtures(rig);
  });
  afterAll(async () => {
    await rig?.close();
    await fixtures?.close();
  });

  const scrape = async (): Promise<{ text: string; families: Map<string, Family> }> => {
    const { status, text, headers } = await rig.send('/metrics', { key: token });
    expect([status, headers.get('content-type')]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    return { text, families: parseExposition(text) };
  };
  const call = (name: string, args: object = {}) =>
    rig.send('/mcp/tool/call', {
      key: fixtures.home.alice.key,
      body: { serverName: 'demo', methodName: name, args },
    });

  it('is opened by its token and by nothing else, and its token opens nothing else', async () => {
    for (const key of [undefined, 'x', `${token}x`, rig.admin, fixtures.home.admin, fixtures.home.alice.key])
      expect((await rig.send('/metrics', { key })).status).toBe(401);
    expect((await rig.send('/api/me', { key: token })).status).toBe(401);
    const off = await startRig();
    try {
      expect((await off.send('/metrics', { key: off.admin })).status).toBe(404);
    } finally {
      await off.close();
    }
  });

  it('counts every call once, by tool and outcome, and every refusal by its code', async () => {
    const before = (await scrape()).families;
    const server = fixtures.home.server.serverId;
    for (let i = 0; i < 7; i++) expect((await call('echo', { text: 'x' })).status).toBe(200);
    for (let i = 0; i < 3; i++) await call('fail', { message: 'no' });
    await call('no-such-tool');
    const viaServer = await rig.rpc(
      `/mcp/${server}`,
      {
        method: 'tools/call',
        params: {
          name: 'execute_action_alloy',
          arguments: { connectorId: 'demo', actionId: 'add', parameters: { a: 1, b: 2 } },
        },
      },
      { key: fixtures.home.alice.key },
    );
    expect(viaServer.status).toBe(200);
    await rig.send('/api/connectors', { key: fixtures.dead.revoked });
    const { families } = await scrape();
    const more = (family: string, labels: Record<string, string> = {}) =>
      total(families, family, labels) - total(before, family, labels);
    expect(more('valet_calls_total', { tool: 'demo.echo', outcome: 'ok' })).toBe(7);
    expect(more('valet_calls_total', { tool: 'demo.fail', outcome: 'tool_error' })).toBe(3);
    expect(more('valet_calls_total', { tool: 'demo.no-such-tool' })).toBe(0);
    expect(more('valet_calls_total', { tool: 'unknown' })).toBe(1);
    expect(more('valet_calls_total', { server })).toBe(1);
    expect(more('valet_calls_total')).toBe(12);
    expect(more('valet_refusals_total', { code: 'NOT_FOUND' })).toBe(1);
    expect(more('valet_refusals_total', { code: 'UNAUTHORIZED' })).toBe(1);
    expect(more('valet_http_requests_total', { route: '/mcp/tool/call', method: 'POST' })).toBe(11);
    const count = (part: string) =>
      (families.get('valet_call_seconds')?.samples ?? [])
        .filter(({ name, labels }) => name === 'valet_call_seconds_count' && labels['part'] === part)
        .reduce((sum, { value }) => sum + value, 0);
    expect(count('upstream')).toBe(count('gateway'));
    expect([count('total') > count('upstream'), count('upstream') >= 11]).toEqual([true, true]);
    expect(total(families, 'valet_calls_in_flight')).toBe(0);
    expect(total(families, 'valet_database_breaker_open')).toBe(0);
  });

  it('counts what limits refuse by the kind of limit', async () => {
    const { serverId } = await rig.manage('POST', '/api/servers', {
      name: 'narrow',
      rateLimit: { max: 1, windowSeconds: 60 },
    });
    const list = () =>
      rig.rpc(
        `/mcp/${serverId}`,
        { method: 'tools/call', params: { name: 'list_connectors_alloy', arguments: {} } },
        { key: rig.admin },
      );
    const statuses = [(await list()).status, (await list()).status];
    expect(statuses).toEqual([200, 429]);
    const { families } = await scrape();
    expect(total(families, 'valet_rate_limited_total', { policy: 'user' })).toBe(1);
    expect(total(families, 'valet_refusals_total', { code: 'RATE_LIMITED' })).toBe(1);
  });

  it('names no user, key, account or secret, whatever was called', async () => {
    const { alice, bob, admin, enterprise, accountId } = fixtures.home;
    await call('echo', { text: alice.canary });
    await call(alice.canary);
    await call(`tool-of-${alice.userId}`);
    const { text } = await scrape();
    const never = [alice, bob].flatMap(({ userId, username, key, keyId, canary }) => [
      userId,
      username,
      key,
      keyId,
      canary,
    ]);
    for (const word of [...never, admin, enterprise, accountId, fixtures.home.server.accessToken, token])
      expect(text.includes(word), word).toBe(false);
  });

  it('is described metric by metric in the guide', async () => {
    const { families } = await scrape();
    const guide = readFileSync(new URL('../../docs/guides/observability.md', import.meta.url), 'utf8');
    const rows = [...guide.matchAll(/^\| `(valet_[a-z_]+)` +\| (counter|gauge|histogram) +\| ([^|]*?) +\|/gm)];
    const described = rows.map(([, name, type, labels]) => `${name} ${type} ${labels}`);
    const labelsOf = ({ samples, type }: Family): string[] =>
      [...new Set(samples.flatMap((sample) => Object.keys(sample.labels)))].filter(
        (l) => type !== 'histogram' || l !== 'le',
      );
    const ours = [...families.values()].filter(({ name }) => name.startsWith('valet_'));
    expect(described.map((row) => row.split(' ').slice(0, 2).join(' ')).sort()).toEqual(
      ours.map(({ name, type }) => `${name} ${type}`).sort(),
    );
    // Where something was counted its labels are known.
    for (const family of ours.filter(
      ({ samples }) => samples.length > 0 && labelsOf({ ...samples, samples } as never).length > 0,
    ))
      expect(described).toContain(
        `${family.name} ${family.type} ${labelsOf(family)
          .sort()
          .map((l) => `\`${l}\``)
          .join(', ')}`,
      );
  });
});

describe('label sets', () => {
  it('keep an exposition small, however many tools are called', async () => {
    const exposition = createExposition();
    const call = { isKnown: true, outcome: 'ok', lane: 'direct', seconds: 0.01, upstreamSeconds: 0.005 };
    for (let i = 0; i < 10_000; i++) {
      exposition.began();
      exposition.ended({ ...call, serverId: `srv_${i % 50}`, tool: `demo.tool-${i}` });
    }
    const families = parseExposition(await exposition.text());
    expect(families.get('valet_calls_total')?.samples.length).toBeLessThanOrEqual(1_000);
    expect(total(families, 'valet_calls_total')).toBe(10_000);
    expect(total(families, 'valet_calls_total', { server: 'other', tool: 'other' })).toBeGreaterThan(8_000);
  });

  it('stay within their bound over 10,000 names of tools', () => {
    const sets = new LabelSets(200, 50);
    for (let i = 0; i < 10_000; i++) sets.of(`srv_${i % 20}`, `demo.tool${i}`, true);
    expect(sets.size).toBeLessThanOrEqual(200);
    expect(sets.of('srv_999', 'demo.new', true)).toEqual({ server: 'other', tool: 'other' });
    expect(sets.of('srv_0', 'demo.tool0', true)).toEqual({ server: 'srv_0', tool: 'demo.tool0' });
    expect(sets.of('srv_0', 'demo.tool9980', true)).toEqual({ server: 'other', tool: 'other' });
  });

  it('give one server no more than its share, and nothing to names that nobody has shown to exist', () => {
    const sets = new LabelSets(1_000, 100);
    for (let i = 0; i < 10_000; i++) sets.of('srv_a', `demo.tool${i}`, true);
    expect(sets.of('srv_a', 'demo.late', true)).toEqual({ server: 'srv_a', tool: 'other' });
    const before = sets.size;
    for (let i = 0; i < 10_000; i++) sets.of('srv_b', `guess${i}`, false);
    expect([before, sets.size]).toEqual([101, 102]);
    expect(sets.of('srv_b', 'demo.real', true)).toEqual({ server: 'srv_b', tool: 'demo.real' });
  });
});
