// One dead or slow upstream delays neither lists nor other calls: deadlines, last good copies, a breaker, and a status that says so.
import net, { type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoConnector, type Rig, startRig } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';

const elapsed = async <T>(work: Promise<T>): Promise<{ ms: number; value: T }> => {
  const from = performance.now();
  const value = await work;
  return { ms: performance.now() - from, value };
};

describe('beside a dead and a silent upstream', () => {
  let rig: Rig;
  let good: RecordingUpstream;
  let silent: net.Server;
  let serverId = '';
  let isGoodOpen = true;
  const deadUrl = 'http://127.0.0.1:1/mcp';
  beforeAll(async () => {
    good = await startRecordingUpstream({ record: true });
    silent = net.createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    rig = await startRig();
    const plain = (url: string, connectorId: string) => {
      const { secretNames: _, inject: __, ...connector } = demoConnector(url, connectorId);
      return connector;
    };
    await rig.manage('POST', '/api/connectors', plain(good.url, 'good'));
    await rig.manage('POST', '/api/connectors', plain(deadUrl, 'dead'));
    await rig.manage(
      'POST',
      '/api/connectors',
      plain(`http://127.0.0.1:${(silent.address() as AddressInfo).port}/mcp`, 'silent'),
    );
    ({ serverId } = await rig.manage('POST', '/api/servers', { name: 'all', mode: 'direct' }));
  });
  afterAll(async () => {
    await rig.close();
    if (isGoodOpen) await good.close();
    silent.close();
  });

  const list = () => rig.rpc(`/mcp/${serverId}`, { method: 'tools/list' }, { key: rig.admin });
  const call = (name: string) =>
    rig.rpc(
      `/mcp/${serverId}`,
      { method: 'tools/call', params: { name, arguments: { text: 'hi' } } },
      { key: rig.admin },
    );

  it('a list is answered within its deadline and names who is missing', async () => {
    const { ms, value } = await elapsed(list());
    expect(ms).toBeLessThan(12_000);
    const names = value.body.result.tools.map((tool: { name: string }) => tool.name);
    expect(names).toContain('good__echo');
    expect(value.body.result._meta['mcp-valet/unavailable']).toEqual(expect.arrayContaining(['dead', 'silent']));
  });

  it('calls of the good one run while a list waits for the others', async () => {
    let isListOver = false;
    const waiting = list().finally(() => {
      isListOver = true;
    });
    const results = await Promise.all(Array.from({ length: 5 }, () => elapsed(call('good__echo'))));
    // The silent one makes a list wait 3 s.
    expect(isListOver).toBe(false);
    for (const { value } of results) expect(value.body.result.content[0].text).toContain('hi');
    await waiting;
  });

  it('one that cannot be reached is left alone after five attempts, and its caller told when to come back', async () => {
    const direct = () =>
      rig.send('/mcp/tool/call', { key: rig.admin, body: { serverName: 'dead', methodName: 'echo', args: {} } });
    // Each look is one attempt; failures are held for a second before the next.
    for (let i = 0; i < 6; i++) {
      await rig.send('/api/connectors/dead/refresh', { method: 'POST', key: rig.admin });
    }
    const refused = await direct();
    expect(refused.body).toMatchObject({ success: false, code: 'upstream_unreachable' });
  });

  it('their state is shown, by a word of ours', async () => {
    const { connectors } = await rig.manage('GET', '/api/connectors');
    const states = Object.fromEntries(
      connectors.map((one: { connectorId: string; status: string }) => [one.connectorId, one.status]),
    );
    expect(states).toMatchObject({ good: 'connected', dead: 'error' });
    const { upstreams } = await rig.manage('GET', '/status');
    const dead = upstreams.find((one: { connector_id: string }) => one.connector_id === 'dead');
    expect(dead).toMatchObject({ state: 'error', last_error: 'The upstream cannot be reached' });
    const alive = upstreams.find((one: { connector_id: string }) => one.connector_id === 'good');
    expect(alive.tools_age_ms).toBeGreaterThanOrEqual(0);
  });

  it('a list that was read once is answered from its copy when the upstream dies, and says nothing is fresh', async () => {
    await good.close();
    isGoodOpen = false;
    await rig.manage('POST', '/api/connectors/good/refresh');
    const { ms, value } = await elapsed(list());
    expect(ms).toBeLessThan(12_000);
    expect(value.body.result.tools.map((tool: { name: string }) => tool.name)).toContain('good__echo');
  });

  it('a corrected address is tried at once, whatever the breaker learned of the old one', async () => {
    const again = await startRecordingUpstream();
    await rig.manage('PUT', '/api/connectors/dead', { url: again.url });
    const answer = await rig.send('/mcp/tool/call', {
      key: rig.admin,
      body: { serverName: 'dead', methodName: 'echo', args: { text: 'back' } },
    });
    expect(answer.body).toMatchObject({ success: true });
    await again.close();
  });
});
