// `mcp-valet config export|diff|apply`: accounts, connectors, groups, servers, limits and issuers as one YAML file. Works on the database itself,
// beside running gateways, which hear of every change; an embedded database must not be in use by one.
import { writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type AccountRow, createAccount, listAccounts } from '../accounts/store.ts';
import { environment, loadConfig } from '../config.ts';
import { type ConfigDocument, DocumentError, format, parseDocument, printDocument } from '../configuration/document.ts';
import { asAWhole } from '../configuration/plan.ts';
import { readAccount } from '../configuration/read.ts';
import { type AccountChange, writeAccount } from '../configuration/write.ts';
import type { Keyring } from '../crypto/keyring.ts';
import type { Database } from '../db/client.ts';
import { accountScope, installationScope, withScope } from '../db/scope.ts';
import { newId } from '../ids.ts';
import { openPage } from '../page.ts';
import { Refusal } from '../refusal.ts';
import { readGiven, unwritable } from './files.ts';
import { withStores } from './open.ts';
import { CommandError, type CommandGroup, type CommandResult, shown } from './program.ts';
import { surroundings } from './surroundings.ts';

type Env = Readonly<Record<string, string | undefined>> | undefined;

const maxAccounts = 1_000;

export const configCommands: CommandGroup = (program, terminal, done) => {
  const config = program
    .command('config')
    .description('The configuration as one YAML file: no users, keys or secrets.');
  config
    .command('export')
    .description('Write accounts, connectors, groups, servers, limits and issuers as YAML.')
    .option('--account <name...>', 'only these accounts')
    .option('--file <file>', 'into a file instead of standard output')
    .action(done((options: { account?: string[]; file?: string }) => exportConfig(options, terminal.env)));
  for (const [name, description, isDry] of [
    ['diff', 'Say what `config apply` would change. Exit code 1: something would.', true],
    ['apply', 'Make the database what the file says. Applying twice changes nothing.', false],
  ] as const)
    config
      .command(name)
      .description(description)
      .argument('<file>', 'the YAML file')
      .option('--prune', 'also delete what the file does not name, in accounts and kinds that it has')
      .option('--json', 'answer in JSON')
      .addHelpText(
        'after',
        `\nOne transaction per account. The secret of an OAuth client is given as clientSecret: $\{VARIABLE}; issuers with a secret and webhooks are set by the API.`,
      )
      .action(
        done((file: string, options: { prune?: boolean; json?: boolean }) =>
          applyConfig(file, { prune: options.prune === true, dryRun: isDry }, options.json, terminal.env),
        ),
      );
};

async function accountsOf(db: Database): Promise<AccountRow[]> {
  const page = { ...openPage('accounts', ['text'], {}), limit: maxAccounts };
  const { rows, total } = await withScope(db, installationScope, (tx) => listAccounts(tx, page));
  if (total > maxAccounts)
    throw new CommandError(`There are ${total} accounts; name the ones you want with --account.`);
  return rows.slice(0, maxAccounts);
}

async function exportConfig(options: { account?: string[]; file?: string }, env: Env): Promise<CommandResult> {
  return withStores(loadConfig(env), async ({ db }) => {
    const all = await accountsOf(db);
    for (const name of options.account ?? [])
      if (!all.some((account) => account.name === name)) throw new CommandError(`There is no account ${name}.`);
    const wanted = all.filter(({ name }) => options.account?.includes(name) ?? true);
    const states = [];
    for (const account of wanted)
      states.push(await withScope(db, accountScope(account.id), (tx) => readAccount(tx, account)));
    const text = printDocument(
      { format, accounts: states.map((state) => state.config) },
      states.flatMap((state) => state.notes),
    );
    if (options.file === undefined) return { code: 0, said: text.trimEnd(), complained: '' };
    await writeFile(options.file, text, { mode: 0o600 }).catch((error: unknown) => {
      throw unwritable(`${options.file}`, error);
    });
    return { code: 0, said: `Wrote ${wanted.length} accounts to ${options.file}.`, complained: '' };
  });
}

interface Applied {
  changes: AccountChange[];
  /** Admin keys of accounts that were made, shown this once. */
  keys: { account: string; apiKey: string }[];
}

async function applyConfig(
  file: string,
  how: { prune: boolean; dryRun: boolean },
  isJson: boolean | undefined,
  env: Env,
): Promise<CommandResult> {
  const document = await readFileOf(file);
  const config = loadConfig(env);
  return withStores(config, async ({ db, keyring }) => {
    const options = { db, keyring, around: await surroundings(config), env: environment(env), ...how };
    const there = new Map((await accountsOf(db)).map((account) => [account.name, account]));
    const applied: Applied = { changes: [], keys: [] };
    for (const wanted of document.accounts) {
      try {
        await applyAccount(applied, wanted, there.get(wanted.name), options);
      } catch (error) {
        throw told(error, wanted.name, applied, how.dryRun);
      }
    }
    const isDifferent = how.dryRun && applied.changes.length > 0;
    return { ...shown(isJson, applied, sentences(applied, how)), code: isDifferent ? 1 : 0 };
  });
}

type ApplyOptions = Parameters<typeof writeAccount>[3];

async function applyAccount(
  applied: Applied,
  wanted: ConfigDocument['accounts'][number],
  existing: AccountRow | undefined,
  options: ApplyOptions & { keyring: Keyring },
): Promise<void> {
  const { db, keyring, dryRun } = options;
  const { name, callsPerMinute } = wanted;
  if (existing === undefined && dryRun) {
    applied.changes.push({ what: 'create', noun: 'account', account: name, id: undefined, name, ...asAWhole });
    return;
  }
  const id = existing?.id ?? newId('acc');
  const result = await withScope(db, accountScope(id), async (tx) => {
    if (existing !== undefined) return { changes: await writeAccount(tx, existing, wanted, options), token: undefined };
    const made = await createAccount(tx, keyring, { id, name, callsPerMinute });
    const created: AccountChange = { what: 'create', noun: 'account', account: name, id, name, ...asAWhole };
    return { changes: [created, ...(await writeAccount(tx, made.account, wanted, options))], token: made.token };
  });
  applied.changes.push(...result.changes);
  if (result.token !== undefined) applied.keys.push({ account: name, apiKey: result.token });
}

async function readFileOf(file: string): Promise<ConfigDocument> {
  const text = await readGiven(file, `The file ${file}`);
  let document: ConfigDocument;
  try {
    document = parseDocument(text);
  } catch (error) {
    if (error instanceof DocumentError) throw new CommandError(error.message);
    throw error;
  }
  for (const connector of document.accounts.flatMap((account) => account.connectors ?? [])) {
    const { openapi } = connector;
    // A path beside the file: a document's own text is longer than a line.
    if (typeof openapi === 'string' && /^[^\n{]{1,512}\.(json|ya?ml)$/.test(openapi))
      connector.openapi = await readGiven(
        resolve(dirname(file), openapi),
        `Connector ${connector.connectorId}: the document ${openapi}`,
      );
  }
  return document;
}

/** Accounts before it are done: each has its own transaction. */
function told(error: unknown, account: string, applied: Applied, isDry: boolean): unknown {
  if (!(error instanceof Refusal || error instanceof DocumentError)) return error;
  const issues =
    error instanceof Refusal ? ((error.details?.['issues'] ?? []) as { path: string; message: string }[]) : [];
  const places = issues.map(({ path, message }) => `\n- ${path}: ${message}`).join('');
  const done =
    isDry || applied.changes.length === 0 ? '' : ` Changes of accounts before it were made: ${applied.changes.length}.`;
  return new CommandError(`Account ${account} was not changed: ${error.message}.${places}${done}`);
}

const maxShown = 100;

function brief(value: unknown): string {
  const text = value === undefined ? '(none)' : JSON.stringify(value);
  return text.length > maxShown ? `${text.slice(0, maxShown)}…` : text;
}

function sentences({ changes, keys }: Applied, { prune, dryRun }: { prune: boolean; dryRun: boolean }): string {
  if (changes.length === 0) return `Nothing ${dryRun ? 'would change' : 'to change'}.`;
  const mark = { create: '+', update: '~', delete: '-' };
  const lines = changes.flatMap(({ what, noun, account, name, differences }) => {
    const at = noun === 'account' ? '' : ` (${account})`;
    return [
      `${mark[what]} ${noun} ${name}${at}`,
      ...differences.map(({ field, from, to }) => `    ${field}: ${brief(from)} -> ${brief(to)}`),
    ];
  });
  const shownKeys = keys.map(({ account, apiKey }) => `Admin key of ${account}, shown this once: ${apiKey}`);
  const total = `${changes.length} change${changes.length === 1 ? '' : 's'}${dryRun ? ' would be made' : ''}${prune ? '' : '; nothing is deleted without --prune'}.`;
  return [...lines, total, ...shownKeys].join('\n');
}
