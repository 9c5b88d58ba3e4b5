// `mcp-valet audit export FILE`: an account's trail as lines of JSON, newest first, read page by page. Never writes to the database.
import { open, rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { findAccountByName } from '../accounts/store.ts';
import { shownEvent } from '../audit/shown.ts';
import { readEvents } from '../audit/store.ts';
import { loadConfig } from '../config.ts';
import { accountScope, installationScope, withScope } from '../db/scope.ts';
import type { AccountOptions } from './account.ts';
import { draftOf, takeName, unwritable } from './files.ts';
import { withDatabase } from './open.ts';
import { CommandError, type CommandResult, type Done, progressOn, shown, type Terminal } from './program.ts';

interface Options extends AccountOptions {
  from?: string;
  to?: string;
}
const perPage = 1_000;

export function auditExport(audit: Command, terminal: Terminal, done: Done): void {
  audit
    .command('export')
    .description('Write the trail of an account as lines of JSON, newest first, to a file that does not exist yet.')
    .argument('<file>')
    .option('--account <name>', 'of this account instead of the operator’s own')
    .option('--from <time>', 'events of this time and later, ISO 8601')
    .option('--to <time>', 'events of this time and earlier, ISO 8601')
    .option('--json', 'answer in JSON')
    .action(done((file: string, options: Options) => exportTrail(file, options, terminal)));
}

async function exportTrail(file: string, options: Options, terminal: Terminal): Promise<CommandResult> {
  const span = { from: timeOf('--from', options.from), to: timeOf('--to', options.to) };
  const progress = progressOn(terminal);
  // Under another name until it is whole: half a trail must not pass for one.
  const draft = draftOf(file);
  const events = await withDatabase(loadConfig(terminal.env), async (db) => {
    const name = options.account ?? 'default';
    const account = await withScope(db, installationScope, (tx) => findAccountByName(tx, name));
    if (account === undefined) throw new CommandError(`There is no account ${name}.`);
    const out = await open(draft, 'wx', 0o600).catch((error: unknown) => {
      throw unwritable(draft, error);
    });
    try {
      let count = 0;
      for (let before: number | undefined; ; ) {
        const where = { before, limit: perPage, offset: 0 };
        const rows = await withScope(db, accountScope(account.id), (tx) => readEvents(tx, account.id, span, where));
        await out.write(rows.map((row) => `${JSON.stringify(shownEvent(row))}\n`).join(''));
        count += rows.length;
        progress(`${count} events`);
        before = rows.at(-1)?.seq;
        if (rows.length < perPage) {
          await takeName(draft, file);
          return count;
        }
      }
    } catch (error) {
      await rm(draft, { force: true });
      throw error;
    } finally {
      await out.close();
    }
  });
  return shown(options.json, { file, events }, `Wrote ${events} events to ${file}.`);
}

function timeOf(option: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text);
  if (Number.isNaN(time.getTime()))
    throw new CommandError(`${option} is no time: give ISO 8601, such as 2026-01-31T00:00:00Z.`);
  return time;
}
