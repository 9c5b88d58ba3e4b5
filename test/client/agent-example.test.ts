// The example of an agent for every user runs as its reader runs it, and every step of its story holds.
import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { root } from '../repo/workspace.ts';

it('tells its story to the end', { timeout: 120_000 }, async () => {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  const main = join(root, 'examples/agent-per-user/src/main.ts');
  const run = promisify(execFile)(process.execPath, ['--import', tsx, '--conditions=@mcp-valet/source', main], {
    timeout: 110_000,
    env: { PATH: process.env['PATH'] },
  });
  const { stdout } = await run.catch((error: unknown) => {
    const said = error as { stdout?: string; stderr?: string };
    throw new Error(`the example failed:\n${said.stdout}\n${said.stderr}`);
  });
  expect(stdout).toContain('Every step held.');
  expect(stdout).not.toContain('✗');
});
