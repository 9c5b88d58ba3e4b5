// `mcp-valet audit verify`: checks the trail beside a gateway, or without one, with the gateway's own configuration. Never writes: no migration, no
// key, no row. Says what it found and with which exit code; printing and exiting are main's.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readCopy } from '../audit/copy.ts';
import { type OutsideCopy, type Verdict, verifyTrail } from '../audit/verify.ts';
import { type Config, loadConfig } from '../config.ts';
import { type Keyring, openKeyring } from '../crypto/keyring.ts';
import { masterKeySource } from '../crypto/master-key.ts';
import { openDatabase } from '../db/client.ts';
import { DatabaseError } from '../db/errors.ts';
import { keyringStore } from '../db/keyring-store.ts';

/** 0: the trail is whole. 1: it is not. 2: it could not be checked, or the command was not understood. */
export interface CommandResult {
  code: 0 | 1 | 2;
  /** For standard output. */
  said: string;
  /** For standard error. */
  complained: string;
}

export const auditUsage = `Usage: mcp-valet audit verify [--against FILE]... [--json]

Checks the audit trail and the journal against their signed checkpoints, with the configuration of the gateway (DATABASE_URL, VALET_MASTER_KEY or
VALET_MASTER_KEY_FILE). Reads only.

  --against FILE  also compares with checkpoints that were kept outside of the database: the file of VALET_AUDIT_CHECKPOINT_FILE, or saved log lines.
                  Without it, a chain that was cut at its end or made anew with the key is not noticed. May be given more than once.
  --json          answers in JSON

Exit code: 0 the trail is whole, 1 it is not, 2 it could not be checked.`;

class CannotCheck extends Error {
  override readonly name = 'CannotCheck';
}

const unchecked = (complained: string): CommandResult => ({ code: 2, said: '', complained });

export async function auditCommand(
  args: readonly string[],
  env?: Readonly<Record<string, string | undefined>>,
): Promise<CommandResult> {
  let parsed: { files: string[]; json: boolean };
  try {
    parsed = read(args);
  } catch (error) {
    return unchecked(`${(error as Error).message}\n\n${auditUsage}`);
  }
  try {
    const copies = await Promise.all(parsed.files.map((file) => readFile(file, 'utf8')));
    const copy = copies.length === 0 ? undefined : readCopy(copies.join('\n'));
    const verdict = await check(loadConfig(env), copy);
    return {
      code: verdict.ok ? 0 : 1,
      said: parsed.json ? JSON.stringify(verdict) : sentence(verdict, copy !== undefined),
      complained: '',
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return unchecked(`The trail could not be checked: ${why}`);
  }
}

function read(args: readonly string[]): { files: string[]; json: boolean } {
  const { positionals, values } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { against: { type: 'string', multiple: true }, json: { type: 'boolean' } },
  });
  if (positionals.length !== 1 || positionals[0] !== 'verify') throw new CannotCheck('There is one command: verify.');
  return { files: values.against ?? [], json: values.json === true };
}

async function check(config: Config, copy: OutsideCopy | undefined): Promise<Verdict> {
  const { database } = config;
  // Opening a directory that is no database would make one.
  if (database.kind === 'pglite' && (database.dir === undefined || !existsSync(join(database.dir, 'PG_VERSION'))))
    throw new CannotCheck('DATABASE_URL names no embedded database that exists');
  const db = await openDatabase({ url: database.url.reveal() });
  try {
    const keyring = await openExisting(config, keyringStore(db));
    return await verifyTrail({ db, keyring }, copy);
  } catch (error) {
    if (error instanceof DatabaseError && /^42(P01|703|883)$/.test(error.code))
      throw new CannotCheck('the database is not of this version; start the gateway of this version once');
    throw error;
  } finally {
    await db.close();
  }
}

async function openExisting(config: Config, store: ReturnType<typeof keyringStore>): Promise<Keyring> {
  const { provider } = masterKeySource({
    key: config.masterKey?.reveal(),
    file: config.masterKeyFile,
    dataDir: config.database.kind === 'pglite' ? config.database.dir : undefined,
  });
  const nothing = () => Promise.reject(new CannotCheck('no gateway has used this database yet'));
  return openKeyring({
    store: { load: store.load, hasRows: nothing, create: nothing },
    newInstallationId: () => '',
    provider,
  });
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
