// Log level at run time, and one request id from the caller to the answer, the log, the journal and the audit trail.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLog, switchDebug } from '../../packages/server/src/log.ts';
import { ChildGateway, sharedEnvironment } from '../durability/support/child-gateway.ts';
import { demoConnector, reach } from '../support/gateway.ts';
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts';

let upstream: RecordingUpstream;
let gateway: ChildGateway;
let key: string;
let send: ReturnType<typeof reach>['send'];
beforeAll(async () => {
  upstream = await startRecordingUpstream();
  const env = sharedEnvironment('pglite:memory');
  key = env['VALET_API_KEY'] as string;
  gateway = await new ChildGateway({ ...env, LOG_LEVEL: 'info' }).up();
  ({ send } = reach(gateway.url));
  await send('/api/connectors', { key, body: demoConnector(upstream.url) });
});
afterAll(async () => {
  await gateway?.kill();
  await upstream?.close();
});

const ask = (id: string) => send('/api/me', { key, headers: { 'x-request-id': id } });
const lines = (id: string) => gateway.output.split('\n').filter((line) => line.includes(`"requestId":"${id}"`));

describe('SIGUSR2', () => {
  it('raises the level to debug without a restart, and a second one ends that', async () => {
    await ask('quiet-1');
    gateway.signal('SIGUSR2');
    await expect.poll(() => gateway.output).toContain('"now":"debug","forMs":600000,"msg":"log_level"');
    await ask('loud-1');
    await expect.poll(() => lines('loud-1').length).toBe(1);
    gateway.signal('SIGUSR2');
    await expect.poll(() => gateway.output).toContain('"now":"info","msg":"log_level"');
    await ask('quiet-2');
    // Whatever `quiet-2` wrote stands before the line of this one.
    await send('/api/nowhere', { key, headers: { 'x-request-id': 'last' } });
    await expect.poll(() => lines('last').length).toBeGreaterThan(0);
    expect([lines('quiet-1'), lines('quiet-2')]).toEqual([[], []]);
  });

  it('ends by itself', async () => {
    const log = createLog({ logLevel: 'warn' }, { write: () => undefined });
    switchDebug(log, 30);
    expect(log.level).toBe('debug');
    await expect.poll(() => log.level).toBe('warn');
  });
});

describe('a request id', () => {
  it('of the caller comes back and stands in error, log, journal and trail', async () => {
    const body = { serverName: 'demo', methodName: 'echo', args: {} };
    const call = await send('/mcp/tool/call', { key, headers: { 'x-request-id': 'mine.call_1' }, body });
    expect(call.headers.get('x-request-id')).toBe('mine.call_1');
    const calls = await send('/api/calls', { key });
    expect(calls.body.calls.map((row: { requestId: string }) => row.requestId)).toContain('mine.call_1');
    await send('/users', { key, headers: { 'x-request-id': 'mine.user_1' }, body: { username: 'someone' } });
    const audit = await send('/api/audit', { key });
    expect(audit.body.events.map((row: { requestId: string }) => row.requestId)).toContain('mine.user_1');
    const missing = await send('/api/servers/nope', { key, headers: { 'x-request-id': 'mine.miss_1' } });
    expect([missing.status, missing.body.requestId ?? missing.body.request_id]).toEqual([404, 'mine.miss_1']);
    await expect.poll(() => lines('mine.miss_1').length).toBeGreaterThan(0);
  });

  it.each(['', 'a b', 'x'.repeat(65), 'mcpv_std_looks-like-a-key'])('%j is replaced by one of ours', async (id) => {
    const answer = await ask(id);
    expect(answer.headers.get('x-request-id')).toMatch(/^req_\w{16,}$/);
  });
});
