// `mcp-valet init`: what a first installation needs in files: a master key and the variables of a gateway, with keys that nobody else has.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ConfigError, loadConfig } from '../config.ts';
import { createMasterKeyFile } from '../crypto/key-provider.ts';
import { CommandError, type CommandGroup, type CommandResult, shown } from './program.ts';

interface Options {
  dir: string;
  databaseUrl?: string;
  publicUrl?: string;
  redisUrl?: string;
  json?: boolean;
}

export const initCommands: CommandGroup = (program, _terminal, done) => {
  program
    .command('init')
    .description('Write a master key and a file of variables for a new gateway. Overwrites nothing.')
    .option('--dir <directory>', 'where', '.valet')
    .option('--database-url <url>', 'postgres://…; without, the embedded database beside the files')
    .option('--public-url <url>', 'where users’ clients will reach the gateway')
    .option('--redis-url <url>', 'redis://…, for limits shared by several gateways')
    .option('--json', 'answer in JSON')
    .action(done(init));
};

async function init(options: Options): Promise<CommandResult> {
  const dir = resolve(options.dir);
  const envFile = join(dir, 'gateway.env');
  const keyFile = join(dir, 'master.key');
  for (const file of [envFile, keyFile])
    if (existsSync(file)) throw new CommandError(`${file} exists; nothing was written.`);
  const variables = {
    DATABASE_URL: options.databaseUrl ?? `pglite:${join(dir, 'data')}`,
    VALET_MASTER_KEY_FILE: keyFile,
    VALET_API_KEY: randomBytes(32).toString('hex'),
    ...(options.publicUrl !== undefined && { VALET_PUBLIC_URL: options.publicUrl }),
    ...(options.redisUrl !== undefined && { REDIS_URL: options.redisUrl }),
  };
  try {
    loadConfig(variables);
  } catch (error) {
    // Nothing is written for a gateway that would not start.
    if (error instanceof ConfigError) throw new CommandError(error.message);
    throw error;
  }
  await mkdir(dir, { recursive: true, mode: 0o700 });
  (await createMasterKeyFile(keyFile)).fill(0);
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${quoted(value)}\n`);
  await writeFile(envFile, lines.join(''), { mode: 0o600, flag: 'wx' });
  const steps = [
    `Wrote ${keyFile} and ${envFile}, readable by you only.`,
    'Keep a copy of the master key apart from the database: without it no stored secret can be opened.',
    '',
    `Check:  set -a; . ${envFile}; set +a; mcp-valet doctor`,
    'Start:  mcp-valet serve',
    'The admin key is VALET_API_KEY in that file.',
  ];
  return shown(options.json, { envFile, masterKeyFile: keyFile }, steps.join('\n'));
}

/** For a shell and for systemd alike. */
const quoted = (value: string): string => (/^[\w:/.@-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`);
