// Whose secret reaches which process: one process per user of a connector, its environment built from nothing, its secrets never in an
// answer, a command line or another user's process. Real processes, with and without a sandbox.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  call,
  fingerprint,
  jsonOf,
  plainEntry,
  running,
  sandboxes,
  serversFolder,
  startStage,
  textOf,
  tokenOf,
} from './stdio-fixture.ts';

describe.each(sandboxes)('users of one local server, sandbox: %s', (sandbox) => {
  it('each get their own secret back in 1,000 interleaved concurrent calls', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const users = [upstream('alice'), upstream('bob')];
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, async (_, n) => {
        const user = users[n % 2] as (typeof users)[number];
        return { user, n, said: jsonOf(await carrier.request(user, call('whoami', { n }))) };
      }),
    );
    const crossed = answers.filter(
      ({ user, n, said }) => said.n !== n || said.token !== fingerprint(tokenOf(user.user?.username ?? '')),
    );
    expect(crossed).toEqual([]);
    expect(carrier.processes()).toBe(2);
  });

  it('have nothing in the environment but the fixed names and the declared secrets', async () => {
    process.env['GATEWAY_CANARY'] = 'of the gateway';
    const { carrier, upstream } = startStage(plainEntry('plain', { variables: { DATA: '{{HOME}}/data' } }), {
      sandbox,
    });
    const { names, values, cwd } = jsonOf(await carrier.request(upstream('alice'), call('environment')));
    delete process.env['GATEWAY_CANARY'];
    // `PWD` and `container` are what bubblewrap and shells add.
    expect(names.filter((name: string) => !['PWD', '_', 'SHLVL'].includes(name))).toEqual([
      'DATA',
      'HOME',
      'LANG',
      'MCP_VALET_PROCESS',
      'PATH',
      'TMPDIR',
      'TOKEN',
    ]);
    expect(values.PATH).toBe('/usr/local/bin:/usr/bin:/bin');
    expect(values.DATA).toBe(`${values.HOME}/data`);
    expect(cwd).toBe(values.HOME);
  });

  it('never see their secret in an answer or a log line of the server', async () => {
    const { carrier, upstream, logged } = startStage(plainEntry(), { sandbox });
    const alice = upstream('alice');
    expect(textOf(await carrier.request(alice, call('say_secret')))).toBe('my token is [secret]');
    const heard: unknown[] = [];
    await carrier.request(alice, { ...call('log_and_wait', { ms: 10 }), onNotification: (said) => heard.push(said) });
    expect(heard).toEqual([{ method: 'notifications/message', params: { level: 'info', data: 'token [secret]' } }]);
    expect(JSON.stringify(logged)).not.toContain(tokenOf('alice'));
  });

  it('have no secret in any command line', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    await carrier.request(upstream('alice'), call('whoami'));
    const pids = running(`${serversFolder}/plain.mjs`);
    expect(pids.length).toBeGreaterThan(0);
    for (const pid of pids) expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.toContain('token-of-alice');
  });

  it('get a fresh process when their credential changes, and keep the old secret nowhere', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const before = upstream('alice');
    const first = jsonOf(await carrier.request(before, call('whoami')));
    await carrier.forget((key) => key === before.key);
    expect(carrier.processes()).toBe(0);
    const after = upstream('alice', { token: 'another-token-0123456789', connector: { version: 2 } });
    const second = jsonOf(await carrier.request(after, call('whoami')));
    expect(second.token).toBe(fingerprint('another-token-0123456789'));
    expect(second.token).not.toBe(first.token);
  });

  it('without a credential have a process without secrets', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox });
    const said = jsonOf(await carrier.request(upstream('carol', { token: null }), call('whoami')));
    expect(said.token).toBe(fingerprint(''));
  });
});

describe('what may be put into the environment', () => {
  it.each([
    [
      'an undeclared name',
      { env: { OTHER: '{{TOKEN}}' } },
      tokenOf('alice'),
      'does not declare the environment variable OTHER',
    ],
    ['PATH', { env: { PATH: '{{TOKEN}}' } }, tokenOf('alice'), 'does not declare the environment variable PATH'],
    ['a value with a NUL', null, 'to\0ken', 'holds a character that no environment variable can carry'],
  ] as const)('is not %s', async (_, inject, token, words) => {
    const { carrier, upstream } = startStage(plainEntry());
    const alice = upstream('alice', { token, connector: { inject } });
    await expect(carrier.request(alice, call('whoami'))).rejects.toMatchObject({
      kind: 'unreachable',
      executed: 'no',
      words: expect.stringContaining(words),
    });
    expect(carrier.processes()).toBe(0);
  });

  it('is a template of a declared name', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const alice = upstream('alice', { connector: { inject: { env: { TOKEN: '{{user.username}}:{{TOKEN}}' } } } });
    const { token } = jsonOf(await carrier.request(alice, call('whoami')));
    expect(token).toBe(fingerprint(`alice:${tokenOf('alice')}`));
  });
});

describe('the sandbox', () => {
  it('shows a process its own files and not those of the gateway', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const secretFile = new URL('../../package.json', import.meta.url).pathname;
    const read = async (path: string) => textOf(await carrier.request(upstream('alice'), call('read_file', { path })));
    expect(await read(`${serversFolder}/tiny.sh`)).toContain('#!/bin/sh');
    // Where the machine has no bubblewrap there is no wall, and the start says so.
    expect(await read(secretFile)).toBe(
      (await carrier.isSandboxed()) ? 'refused: ENOENT' : readFileSync(secretFile, 'utf8'),
    );
  });

  it('hides the gateway’s own environment', async () => {
    const { carrier, upstream } = startStage(plainEntry());
    const answer = await carrier.request(
      upstream('alice'),
      call('read_file', { path: `/proc/${process.pid}/environ` }),
    );
    const isHidden = textOf(answer).startsWith('refused: ');
    expect(isHidden).toBe(await carrier.isSandboxed());
  });

  it.each([false, true])('gives the network only where the entry says so: %s', async (network) => {
    const listener = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void listener.close());
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const { carrier, upstream } = startStage(plainEntry('plain', { network }));
    const answer = textOf(await carrier.request(upstream('alice'), call('connect', { port })));
    expect(answer).toBe(network || !(await carrier.isSandboxed()) ? 'connected' : 'refused: ECONNREFUSED');
  });

  it('is demanded where the operator says so', async () => {
    const { carrier, upstream } = startStage(plainEntry(), { sandbox: 'require' });
    const outcome = await carrier.request(upstream('alice'), call('whoami')).then(
      () => 'served',
      (error: unknown) => (error as { words?: string }).words,
    );
    expect(outcome).toBe(
      (await carrier.isSandboxed()) ? 'served' : 'Local servers need bubblewrap here, and it cannot be used',
    );
  });

  it('is warned about once when it is off', async () => {
    const { carrier, logged } = startStage(plainEntry(), { sandbox: 'off' });
    expect(await carrier.isSandboxed()).toBe(false);
    expect(logged.map(({ event }) => event)).toEqual(['stdio_servers_run_without_sandbox']);
  });
});
