// MCP over a child process: which era is spoken, with how many processes, what a caller's session adds, and what is heard outside of calls.
// The fixture upstream of the conformance suite, as a process.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CallerSession, Notification, WatchEvent } from '../../packages/server/src/connectors/backend.ts';
import type { StdioEntry } from '../../packages/server/src/connectors/stdio-catalog.ts';
import { bundleEverything, type EverythingBundle } from '../support/everything/stdio-bundle.ts';
import { call, jsonOf, nodeEntry, plainEntry, type Stage, startStage, textOf, within } from './stdio-fixture.ts';

let bundle: EverythingBundle;
beforeAll(async () => {
  bundle = await bundleEverything();
});
afterAll(() => bundle?.remove());

function everything(...eras: ('legacy' | 'modern')[]): StdioEntry {
  const { args, files } = bundle.entry(eras.length === 1 ? eras : undefined);
  return nodeEntry(args, { files, env: [] });
}

const caller = (capabilities: Record<string, unknown> = {}, heard: Notification[] = []): CallerSession => ({
  id: `session-${Math.random()}`,
  capabilities,
  heard: (_, notification) => void heard.push(notification),
});

async function untilHeard<T>(heard: readonly T[], count = 1): Promise<void> {
  for (let waited = 0; heard.length < count && waited < 8_000; waited += 20) await sleep(20);
}

describe('callers without a session', () => {
  it('are served in the modern era where the server speaks both', async () => {
    const { carrier, upstream } = startStage(everything());
    const { result } = await carrier.request(upstream('alice'), { method: 'tools/list', params: {}, signal: within() });
    const names = (result['tools'] as { name: string }[]).map(({ name }) => name);
    expect(names).toContain('test_input_required_result_elicitation');
    expect(names).not.toContain('test_elicitation');
    expect(carrier.processes()).toBe(1);
  });

  it('may be asked, in the modern era, as far as they declare it', async () => {
    const { carrier, upstream } = startStage(everything('modern'));
    const tool = call('test_input_required_result_elicitation');
    const asked = await carrier.request(upstream('alice'), {
      ...tool,
      clientCapabilities: { elicitation: { form: {} } },
    });
    expect(asked.result['resultType']).toBe('input_required');
  });

  it.each([
    ['answers the discovery with an error', 'plain'],
    ['says nothing to it', 'quiet-discover'],
    ['ends on any first message but initialize', 'initialize-only'],
  ] as const)('are served in the 2025 era where the server %s', async (_, mode) => {
    const { carrier, upstream } = startStage(plainEntry(mode), { limits: { discoverMs: 500 } });
    expect(jsonOf(await carrier.request(upstream('alice'), call('whoami', { n: 1 }))).n).toBe(1);
    expect(carrier.processes()).toBe(1);
  });

  it('wait only once for a server that is silent about its era', async () => {
    const { carrier, upstream } = startStage(plainEntry('quiet-discover'), {
      limits: { discoverMs: 6_000, idleMs: 50, sweepMs: 20 },
    });
    await carrier.request(upstream('alice'), call('whoami'));
    for (let waited = 0; carrier.processes() > 0 && waited < 5_000; waited += 20) await sleep(20);
    const started = Date.now();
    await carrier.request(upstream('alice'), call('whoami'));
    // A second wait for its silence would alone take 6 s.
    expect(Date.now() - started).toBeLessThan(6_000);
  });

  it('hear progress and logs of their own call', async () => {
    const { carrier, upstream } = startStage(everything('legacy'));
    const heard: Notification[] = [];
    await carrier.request(upstream('alice'), {
      ...call('test_tool_with_progress'),
      wantsProgress: true,
      onNotification: (said) => heard.push(said),
    });
    expect(heard.map(({ params }) => params?.['progress'])).toEqual([0, 50, 100]);
  });
});

describe('a caller with a session', () => {
  const elicitation = { elicitation: { form: {} }, sampling: {} };
  const ask = async (): Promise<Record<string, unknown>> => ({
    action: 'accept',
    content: { username: 'from-the-caller', email: 'a@example.com' },
  });

  it.each([
    ['both eras', ['legacy', 'modern']],
    ['the 2025 era', ['legacy']],
  ] as const)('is asked by a server of %s', async (_, eras) => {
    const { carrier, upstream } = startStage(everything(...eras));
    const alice = upstream('alice', { session: caller(elicitation) });
    const answer = await carrier.request(alice, { ...call('test_elicitation', { message: 'who?' }), ask });
    expect(textOf(answer)).toContain('from-the-caller');
  });

  it('is asked by a modern server too, on the process that refused its handshake', async () => {
    const { carrier, upstream } = startStage(everything('modern'));
    const alice = upstream('alice', { session: caller(elicitation) });
    const questions: string[] = [];
    const answer = await carrier.request(alice, {
      ...call('test_input_required_result_elicitation'),
      ask: async (question) => {
        questions.push(question.method);
        return { action: 'accept', content: { name: 'Alice' } };
      },
    });
    expect(questions).toEqual(['elicitation/create']);
    expect(answer.result['resultType']).not.toBe('input_required');
    expect(carrier.processes()).toBe(1);
  });

  it('has a process of its own, and another session of the same user has another', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const [one, two] = [upstream('alice', { session: caller() }), upstream('alice', { session: caller() })];
    const pids = [one, one, two].map(async (user) => jsonOf(await carrier.request(user, call('whoami'))).run as string);
    const [first, again] = await Promise.all(pids);
    expect(first).toBe(again);
    expect(carrier.processes()).toBe(2);
    await carrier.forget((key) => key === one.key);
    expect(carrier.processes()).toBe(1);
  });

  it('hears what the server says outside of calls', async () => {
    const { carrier, upstream } = startStage(everything('legacy'));
    const heard: Notification[] = [];
    const alice = upstream('alice', { session: caller({}, heard) });
    await carrier.request(alice, call('test_tool_with_logging'));
    await untilHeard(heard, 3);
    expect(heard.map(({ method }) => method)).toEqual(Array(3).fill('notifications/message'));
  });
});

describe('what a server declares', () => {
  it.each([undefined, caller()])('is known to the session that asks', async (session) => {
    const { carrier, upstream } = startStage(everything());
    expect(await carrier.capabilities(upstream('alice', { session }), within())).toHaveProperty('prompts');
  });
});

describe('a watch', () => {
  const trigger = async ({ carrier, upstream }: Stage, name: string) => carrier.request(upstream('alice'), call(name));

  it('hears of changed lists of a modern server, on the process that serves the calls', async () => {
    const stage = startStage(everything('modern'));
    const events: WatchEvent[] = [];
    const watch = stage.carrier.watch(stage.upstream('alice'), [], (event) => events.push(event));
    await watch.ready;
    await trigger(stage, 'test_trigger_tool_change');
    await untilHeard(events);
    expect(events).toContainEqual({ kind: 'tools' });
    expect(stage.carrier.processes()).toBe(1);
    watch.close();
  });

  it('keeps its process from being idle, and lets it go when it ends', async () => {
    const stage = startStage(plainEntry(), { limits: { idleMs: 100, sweepMs: 30 } });
    const watch = stage.carrier.watch(stage.upstream('alice'), [], () => undefined);
    await watch.ready;
    await sleep(500);
    expect(stage.carrier.processes()).toBe(1);
    watch.close();
    for (let waited = 0; stage.carrier.processes() > 0 && waited < 5_000; waited += 20) await sleep(20);
    expect(stage.carrier.processes()).toBe(0);
  });
});
