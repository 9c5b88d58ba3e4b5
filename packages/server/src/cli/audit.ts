// `mcp-valet audit verify`: checks the trail beside a gateway, or without one, with the gateway's own configuration. Never writes: no migration, no
// key, no row. Says what it found and with which exit code; printing and exiting are main's.
import { readFile } from 'node:fs/promises';
import { readCopy } from '../audit/copy.ts';
import { type OutsideCopy, type Verdict, verifyTrail } from '../audit/verify.ts';
import { type Config, loadConfig } from '../config.ts';
import { auditExport } from './audit-export.ts';
import { existingKeyring, withDatabase } from './open.ts';
import type { CommandGroup, CommandResult } from './program.ts';

const help = `
With the configuration of the gateway (DATABASE_URL, VALET_MASTER_KEY or VALET_MASTER_KEY_FILE). Reads only; an embedded database must not be
in use by a gateway.

Without --against, a chain that was cut at its end or made anew with the key is not noticed.
Exit code: 0 the trail is whole, 1 it is not, 2 it could not be checked.`;

const collect = (file: string, files: string[]): string[] => [...files, file];

export const auditCommands: CommandGroup = (program, terminal, done) => {
  const audit = program
    .command('audit')
    .description('The audit trail and the journal, beside a gateway or without one.');
  audit
    .command('verify')
    .description('Check the audit trail and the journal against their signed checkpoints.')
    .option(
      '--against <file>',
      'also compare with checkpoints kept outside of the database: the file of VALET_AUDIT_CHECKPOINT_FILE, or saved log lines; repeatable',
      collect,
      [],
    )
    .option('--json', 'answer in JSON')
    .addHelpText('after', help)
    .action(done((options: { against: string[]; json?: boolean }) => verify(options, terminal.env)));
  auditExport(audit, terminal, done);
};

const unchecked = (complained: string): CommandResult => ({ code: 2, said: '', complained });

async function verify(
  options: { against: string[]; json?: boolean },
  env: Readonly<Record<string, string | undefined>> | undefined,
): Promise<CommandResult> {
  try {
    const copies = await Promise.all(options.against.map((file) => readFile(file, 'utf8')));
    const copy = copies.length === 0 ? undefined : readCopy(copies.join('\n'));
    const verdict = await check(loadConfig(env), copy);
    return {
      code: verdict.ok ? 0 : 1,
      said: options.json === true ? JSON.stringify(verdict) : sentence(verdict, copy !== undefined),
      complained: '',
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return unchecked(`The trail could not be checked: ${why}`);
  }
}

async function check(config: Config, copy: OutsideCopy | undefined): Promise<Verdict> {
  return withDatabase(config, async (db) => verifyTrail({ db, keyring: await existingKeyring(config, db) }, copy));
}

function sentence({ ok, checkpoints, rows, unsealed, firstBad }: Verdict, isCompared: boolean): string {
  const checked = `${checkpoints} checkpoints, ${rows} sealed entries`;
  if (ok || firstBad === null) {
    const compared = isCompared ? ', and the copy kept outside agrees' : '';
    return `The trail is whole: ${checked}${compared}. Not sealed yet: ${unsealed}.`;
  }
  const { table, seq, id, checkpointId, problem } = firstBad;
  const where = [
    table === null ? undefined : `table ${table}`,
    seq === null ? undefined : `seq ${seq}`,
    id === null || table === 'checkpoints' ? undefined : `id ${id}`,
    checkpointId === null ? undefined : `checkpoint ${checkpointId}`,
  ].filter((part) => part !== undefined);
  return `THE TRAIL WAS TAMPERED WITH.\nFirst bad row: ${where.join(', ')}.\n${problem}.\nBefore it, ${checked} hold.`;
}
