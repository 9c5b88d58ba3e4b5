// Servers that misbehave: each trouble becomes a clear failure for the one user who met it, and says whether the tool may have run.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { call, failureOf, jsonOf, plainEntry, sandboxes, startStage, textOf, within } from './stdio-fixture.ts';

describe.each(sandboxes)('a server that ends during a call, sandbox: %s', (sandbox) => {
  it.each([
    ['exit', { code: 0 }, 'The server process ended with exit code 0'],
    ['exit', { code: 3 }, 'The server process ended with exit code 3'],
    ['crash', {}, /^The server process ended (by SIGSEGV|with exit code 139)$/],
  ] as const)('fails all calls in flight with the reason: %s %j', async (tool, args, words) => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const alice = upstream('alice');
    const other = failureOf(carrier.request(alice, call('hang')));
    const failures = [await failureOf(carrier.request(alice, call(tool, args))), await other];
    for (const failure of failures) {
      expect(failure).toMatchObject({ kind: 'broken', executed: 'unknown' });
      expect(failure.words).toMatch(words);
    }
  });

  it('is started afresh for the next call, and another user noticed nothing', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const [alice, bob] = [upstream('alice'), upstream('bob')];
    const waiting = carrier.request(bob, call('wait', { ms: 500 }));
    await failureOf(carrier.request(alice, call('exit', { code: 1 })));
    expect(jsonOf(await carrier.request(alice, call('whoami'))).run).toEqual(expect.any(String));
    expect(textOf(await waiting)).toBe('waited 500');
  });
});

describe('a server that keeps crashing', () => {
  it('is started with growing pauses, and a call within a long one is told when', async () => {
    const { carrier, upstream } = startStage(plainEntry('dead'), { limits: { restartMs: 3_000 } });
    const alice = upstream('alice');
    for (let n = 0; n < 2; n++) {
      const failure = await failureOf(carrier.request(alice, call('whoami')));
      expect(failure).toMatchObject({ kind: 'unreachable', executed: 'no' });
      expect(failure.words).toBe('The server process ended with exit code 7');
    }
    const refused = await failureOf(carrier.request(alice, call('whoami')));
    expect(refused).toMatchObject({ kind: 'unreachable', executed: 'no' });
    expect(refused.words).toBe('The server process failed several times; it is started again in 3 s');
    expect(refused.retryAfterMs).toBeGreaterThan(2_000);
    // A crash of hers is not his.
    expect((await failureOf(carrier.request(upstream('bob'), call('whoami')))).words).toBe(
      'The server process ended with exit code 7',
    );
  });
});

describe('a call that hangs', () => {
  it('ends with its own deadline, is cancelled upstream, and leaves the process to the others', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const alice = upstream('alice');
    const before = jsonOf(await carrier.request(alice, call('whoami')));
    const failure = await failureOf(carrier.request(alice, call('hang', {}, within(300))));
    expect(failure).toMatchObject({ kind: 'timeout', executed: 'unknown' });
    expect(jsonOf(await carrier.request(alice, call('cancelled')))).toHaveLength(1);
    expect(jsonOf(await carrier.request(alice, call('whoami'))).run).toBe(before.run);
  });

  it('ends at once when its caller goes', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const alice = upstream('alice');
    await carrier.request(alice, call('whoami'));
    const gone = new AbortController();
    const failing = failureOf(carrier.request(alice, call('hang', {}, gone.signal)));
    await sleep(50);
    gone.abort();
    expect(await failing).toMatchObject({ kind: 'cancelled', executed: 'unknown' });
  });
});

describe('a server that starts', () => {
  it('slowly serves the calls that wait for it, with one process', async () => {
    const { carrier, upstream } = startStage(plainEntry('slow'));
    const answers = await Promise.all([1, 2, 3].map((n) => carrier.request(upstream('alice'), call('whoami', { n }))));
    expect(new Set(answers.map((answer) => jsonOf(answer).run)).size).toBe(1);
  });

  it('too slowly for a call fails that call, and serves the next', async () => {
    const { carrier, upstream } = startStage(plainEntry('slow'));
    const failure = await failureOf(carrier.request(upstream('alice'), call('whoami', {}, within(100))));
    expect(failure).toMatchObject({ kind: 'timeout', executed: 'no' });
    expect(failure.words).toBe('The server process was not ready before the call ran out of time');
    expect(jsonOf(await carrier.request(upstream('alice'), call('whoami', { n: 2 }))).n).toBe(2);
    expect(carrier.processes()).toBe(1);
  });

  it.each([
    ['silent', 'The server process did not answer in time after its start'],
    ['noise', /^The server process wrote \d+ lines that are not MCP messages, and no message$/],
    ['deaf', 'The server process did not answer in time after its start'],
  ] as const)('and never speaks is given up: %s', async (mode, words) => {
    const { carrier, upstream } = startStage(plainEntry(mode), {
      // The noisy one has to have come up by then, in its sandbox.
      limits: { startMs: mode === 'noise' ? 6_000 : 800, discoverMs: 300, graceMs: 200 },
    });
    const failure = await failureOf(carrier.request(upstream('alice'), call('whoami')));
    expect(failure).toMatchObject({ kind: 'timeout', executed: 'no' });
    expect(failure.words).toMatch(words);
    await expect.poll(() => carrier.processes()).toBe(0);
  });

  it('as nothing at all fails: the command has gone since the start', async () => {
    const { carrier, upstream } = startStage(plainEntry('plain', { command: '/usr/bin/no-such-command-here' }), {
      sandbox: 'off',
    });
    const failure = await failureOf(carrier.request(upstream('alice'), call('whoami')));
    expect(failure).toMatchObject({
      kind: 'unreachable',
      executed: 'no',
      words: 'The server process cannot be started',
    });
    expect(carrier.processes()).toBe(0);
  });
});

describe('what a server writes', () => {
  it('may have other lines in between', async () => {
    const { carrier, upstream } = startStage(plainEntry('chatty'));
    expect(jsonOf(await carrier.request(upstream('alice'), call('whoami', { n: 5 }))).n).toBe(5);
  });

  it('is ended when a line grows without end', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { limits: { lineBytes: 1024 * 1024, graceMs: 300 } });
    const failure = await failureOf(carrier.request(upstream('alice'), call('huge', { bytes: 2 * 1024 * 1024 })));
    expect(failure).toMatchObject({ kind: 'broken', executed: 'unknown' });
    expect(failure.words).toBe('The server process wrote a line longer than 1048576 bytes');
  });

  it('to stderr is never an answer and never piles up', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const before = process.memoryUsage().rss;
    const answer = await carrier.request(upstream('alice'), call('stderr', { bytes: 32 * 1024 * 1024 }));
    expect(textOf(answer)).toBe('said');
    expect(process.memoryUsage().rss - before).toBeLessThan(160 * 1024 * 1024);
  });
});

describe('a process that stops reading', () => {
  it('is ended before what waits for it fills the memory', { timeout: 30_000 }, async () => {
    const { carrier, upstream } = startStage(plainEntry(), { limits: { graceMs: 200 } });
    const alice = upstream('alice');
    await carrier.request(alice, call('stop_reading'));
    await sleep(200);
    const padding = 'x'.repeat(4 * 1024 * 1024);
    const failures = await Promise.all(
      Array.from({ length: 8 }, () => failureOf(carrier.request(alice, call('whoami', { padding })))),
    );
    expect(failures.map(({ words }) => words)).toEqual(Array(8).fill('The server process does not read its input'));
  });
});
