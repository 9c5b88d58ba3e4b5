// `mcp-valet master-key …`: makes a key file, shows which versions are in use, and rotates. The rotation itself is `rotation/rotate`.
import { type Config, loadConfig } from '../config.ts';
import { createMasterKeyFile } from '../crypto/key-provider.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { beginRotation, countUnder, freshHolders, readMasterKeys } from '../db/master-keys.ts';
import { installationScope, withScope } from '../db/scope.ts';
import { createRotation, type Step } from '../rotation/rotate.ts';
import { existingKeyring, withDatabase } from './open.ts';
import { CommandError, type CommandGroup, type CommandResult, progressOn, shown, type Terminal } from './program.ts';

const embeddedHint =
  'A gateway that has the embedded database open rotates by itself: restart it with VALET_MASTER_KEY_NEXT_FILE set, and see its log.';
const pauseMs = 1_000;

export const masterKeyCommands: CommandGroup = (program, terminal, done) => {
  const group = program.command('master-key').description('The key that wraps all others: make one, look, rotate.');
  group
    .command('create <file>')
    .description('Write a fresh master key to a file that does not exist yet, readable by its owner only.')
    .option('--json', 'answer in JSON')
    .action(done(create));
  group
    .command('status')
    .description('Which versions there are, what lies under each, and which running gateways hold which.')
    .option('--json', 'answer in JSON')
    .action(done((options: { json?: boolean }) => status(options, terminal)));
  group
    .command('rotate')
    .description(
      'Bring everything under the next master key while gateways serve. Can be run again after any interruption.',
    )
    .option('--to-file <file>', 'the next key; default: VALET_MASTER_KEY_NEXT or VALET_MASTER_KEY_NEXT_FILE')
    .option('--batch <n>', 'keys per transaction', '500')
    .option('--wait <seconds>', 'how long to wait for gateways that do not hold the next key yet', '60')
    .option('--json', 'answer in JSON')
    .addHelpText('after', rotateHelp)
    .action(done((options: RotateOptions) => rotate(options, terminal)));
};

const rotateHelp = `
Before: make a key (master-key create FILE), keep a copy apart from the database, and restart every gateway with both keys:
VALET_MASTER_KEY_FILE the one in use, VALET_MASTER_KEY_NEXT_FILE the next one.
After: restart every gateway with the new one as VALET_MASTER_KEY_FILE. The old one is needed for older backups only.`;

async function create(file: string, options: { json?: boolean }): Promise<CommandResult> {
  try {
    (await createMasterKeyFile(file)).fill(0);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new CommandError(
      code === 'EEXIST'
        ? `${file} exists. A key is never written over.`
        : `${file} cannot be written (${String(code)}).`,
    );
  }
  const sentence = `A fresh master key is in ${file}. Keep a copy apart from the database and its backups.`;
  return shown(options.json, { file }, sentence);
}

interface Status {
  versions: { version: number; state: string; keys: number; held: boolean }[];
  gateways: { replica: string; holds: number[]; wrapsWith: number }[];
}

async function look(db: Database, keyring: Keyring): Promise<Status> {
  return withScope(db, installationScope, async (tx) => {
    await beginRotation(tx);
    const [keys, counts, holders] = [await readMasterKeys(tx), await countUnder(tx), await freshHolders(tx)];
    return {
      versions: keys.map(({ version, state, keyId }) => ({
        version,
        state,
        keys: counts.get(version) ?? 0,
        held: keyring.wrapping.holds({ keyId }),
      })),
      gateways: holders.map(({ replica, keyIds, wrapsWith }) => ({
        replica,
        holds: keys.filter(({ keyId }) => keyIds.includes(keyId)).map(({ version }) => version),
        wrapsWith,
      })),
    };
  });
}

async function status(options: { json?: boolean }, terminal: Terminal): Promise<CommandResult> {
  const config = loadConfig(terminal.env);
  const found = await withDatabase(config, async (db) => look(db, await existingKeyring(config, db)), embeddedHint);
  const lines = [
    ...found.versions.map(
      ({ version, state, keys, held }) =>
        `Version ${version}: ${state}, ${keys} keys under it${held ? '' : ', not configured here'}`,
    ),
    ...found.gateways.map(
      ({ replica, holds, wrapsWith }) =>
        `Gateway ${replica.slice(0, 8)}: holds ${holds.join(' and ')}, wraps with ${wrapsWith}`,
    ),
  ];
  return shown(options.json, found, lines.join('\n'));
}

interface RotateOptions {
  toFile?: string;
  batch: string;
  wait: string;
  json?: boolean;
}

async function rotate(options: RotateOptions, terminal: Terminal): Promise<CommandResult> {
  const [batch, waitMs] = [
    wholeNumber('--batch', options.batch, 1, 10_000),
    wholeNumber('--wait', options.wait, 0, 86_400) * 1000,
  ];
  const given = loadConfig(terminal.env);
  const config: Config =
    options.toFile === undefined ? given : { ...given, nextMasterKey: undefined, nextMasterKeyFile: options.toFile };
  return withDatabase(
    config,
    async (db) => {
      const keyring = await existingKeyring(config, db);
      if (keyring.wrapping.keyIds.length < 2)
        throw new CommandError('There is no next key: --to-file, VALET_MASTER_KEY_NEXT or VALET_MASTER_KEY_NEXT_FILE.');
      const last = await drive(createRotation({ db, keyring, batch }), waitMs, progressOn(terminal));
      const end = await look(db, keyring);
      if (last.state === 'idle') return shown(options.json, { ok: true, ...end }, finished(end));
      const why = last.state === 'waiting' ? waitingFor(last) : 'Another rotation is running.';
      return {
        code: 1,
        said: options.json === true ? JSON.stringify({ ok: false, why, ...end }) : '',
        complained: why,
      };
    },
    embeddedHint,
  );
}

/** Until there is nothing left to do, or nothing has moved for `waitMs`. */
async function drive(
  rotation: ReturnType<typeof createRotation>,
  waitMs: number,
  progress: (text: string) => void,
): Promise<Step> {
  let moved = Date.now();
  let keys = 0;
  for (;;) {
    const step = await rotation.step();
    if (step.state === 'idle') return step;
    if (step.state === 'busy' || step.state === 'waiting') {
      if (Date.now() - moved > waitMs) return step;
      progress(step.state === 'busy' ? 'Another rotation is running; waiting for it.' : waitingFor(step));
      await new Promise((resolve) => setTimeout(resolve, Math.min(pauseMs, waitMs)));
      continue;
    }
    moved = Date.now();
    if (step.state === 'rewrapped') keys += step.keys;
    progress(`Version ${step.from} -> ${step.to}: ${step.state}, ${keys} keys`);
  }
}

function waitingFor(step: Extract<Step, { state: 'waiting' }>): string {
  const names = step.replicas.map((replica) => replica.slice(0, 8)).join(', ');
  switch (step.why) {
    case 'not_held':
      return `These gateways do not hold the next key; restart them with VALET_MASTER_KEY_NEXT_FILE: ${names}`;
    case 'not_followed':
      return `These gateways do not wrap with the new key yet: ${names}`;
    case 'locked':
      return 'Some keys are in use by other transactions; they follow.';
  }
}

function finished({ versions }: Status): string {
  const current = versions.find(({ state }) => state === 'current');
  return `Everything is under version ${current?.version ?? 0} of the master key (${current?.keys ?? 0} keys). Now make it the master key of every gateway and remove the next one from the configuration.`;
}

function wholeNumber(name: string, text: string, min: number, max: number): number {
  if (!/^\d{1,6}$/.test(text) || Number(text) < min || Number(text) > max)
    throw new CommandError(`${name} must be a whole number from ${min} to ${max}`);
  return Number(text);
}
