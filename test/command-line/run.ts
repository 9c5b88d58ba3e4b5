// The command line as a process would run it, without the process: arguments in, what was said and the exit code out.
import { randomBytes } from 'node:crypto';
import { groupsFor } from '../../packages/server/src/cli/commands.ts';
import { runCommand } from '../../packages/server/src/cli/program.ts';
import { openTestDatabase } from '../support/database.ts';
import { type Rig, startRig } from '../support/gateway.ts';

export interface Said {
  code: number;
  out: string;
  err: string;
}

export async function mcpValet(env: Readonly<Record<string, string>>, ...args: string[]): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCommand(args, await groupsFor(args), {
    say: (text) => void out.push(text),
    complain: (text) => void err.push(text),
    isInteractive: false,
    env,
  });
  return { code, out: out.join('\n'), err: err.join('\n') };
}

/** A running gateway on PostgreSQL, and the variables with which commands work beside it. */
export async function startBeside(
  more: Record<string, string> = {},
): Promise<{ rig: Rig; env: Record<string, string> }> {
  const VALET_MASTER_KEY = randomBytes(32).toString('base64');
  const rig = await startRig({ database: await openTestDatabase('postgres'), env: { VALET_MASTER_KEY } });
  const env = {
    DATABASE_URL: rig.database.url,
    VALET_MASTER_KEY,
    VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8',
    ...more,
  };
  return { rig, env };
}
