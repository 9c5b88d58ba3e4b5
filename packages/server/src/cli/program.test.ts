// What the command line answers to whoever types: help is an answer, what is not understood is exit code 2 with a hint, and nothing is overwritten.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseMasterKey } from '../crypto/key-provider.ts';
import { groupsFor } from './commands.ts';
import { CommandError, progressOn, runCommand } from './program.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'valet-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(args: readonly string[], env: Record<string, string> = {}) {
  const [out, err]: [string[], string[]] = [[], []];
  const code = await runCommand(args, await groupsFor(args), {
    say: (text) => void out.push(text),
    complain: (text) => void err.push(text),
    isInteractive: false,
    env: { DATABASE_URL: `pglite:${join(folder, 'none')}`, ...env },
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

describe('the command line', () => {
  it('explains itself, and every command, when asked', async () => {
    const help = await run(['--help']);
    expect([help.code, help.err]).toEqual([0, '']);
    for (const group of ['audit', 'db', 'master-key']) expect(help.out).toContain(`  ${group} `);
    expect(await run(['db', 'restore', '--help'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('--revoke-keys'),
    });
    expect(await run(['--version'])).toMatchObject({ code: 0, out: expect.stringMatching(/^\d+\.\d+\.\d+/) });
  });

  it('answers what it does not understand with exit code 2, a hint, and nothing on standard output', async () => {
    expect(await run(['adit'])).toEqual({ code: 2, out: '', err: expect.stringContaining('Did you mean audit?') });
    for (const args of [
      ['audit'],
      ['db', 'restor'],
      ['db', 'backup'],
      ['db', 'backup', 'a', 'b'],
      ['audit', 'verify', '--fast'],
    ])
      expect(await run(args)).toEqual({ code: 2, out: '', err: expect.stringMatching(/.{20}/s) });
  });

  it('tells a wrong configuration and a database that is not there in a sentence, and makes none', async () => {
    expect(await run(['master-key', 'status'], { DATABASE_URL: 'mysql://x' })).toMatchObject({
      code: 2,
      err: expect.stringContaining('DATABASE_URL must be'),
    });
    for (const args of [
      ['master-key', 'status'],
      ['master-key', 'rotate'],
      ['db', 'backup', join(folder, 'b')],
      ['audit', 'verify'],
    ])
      expect(await run(args)).toMatchObject({ code: 2, err: expect.stringContaining('no embedded database') });
    expect(() => statSync(join(folder, 'none'))).toThrow(/ENOENT/);
  });

  it('makes a master key for its owner only, and never over another', async () => {
    const file = join(folder, 'keys', 'next.key');
    expect(await run(['master-key', 'create', file])).toMatchObject({ code: 0 });
    const text = readFileSync(file, 'utf8');
    expect([parseMasterKey(text, file).length, statSync(file).mode & 0o777]).toEqual([32, 0o600]);
    expect(await run(['master-key', 'create', file])).toMatchObject({
      code: 2,
      err: expect.stringContaining('exists'),
    });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('shows errors for the operator as they are, others with their kind', async () => {
    const failing = (error: Error) =>
      runCommand(
        ['fail'],
        [(program, _terminal, done) => program.command('fail').action(done(() => Promise.reject(error)))],
        { say: () => undefined, complain: (text) => void complained.push(text), isInteractive: false },
      );
    const complained: string[] = [];
    expect(await failing(new CommandError('Plain.'))).toBe(2);
    expect(await failing(new RangeError('odd'))).toBe(2);
    expect(complained).toEqual(['Plain.', 'RangeError: odd']);
  });

  it('writes progress at once and then seldom where nobody looks on', () => {
    const lines: string[] = [];
    const progress = progressOn({
      say: () => undefined,
      complain: (text) => void lines.push(text),
      isInteractive: false,
    });
    for (let n = 0; n < 100; n++) progress(`${n}`);
    expect(lines).toEqual(['0']);
  });
});
