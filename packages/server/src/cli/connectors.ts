// `mcp-valet connectors`: adds an MCP server or a REST API to an account from the operator's shell. One object of `config apply`, in one line.
import { loadConfig } from '../config.ts';
import { format, parseDocument } from '../configuration/document.ts';
import { writeAccount } from '../configuration/write.ts';
import { listConnectors } from '../connectors/store.ts';
import { openPage } from '../page.ts';
import { type AccountOptions, type Env, withAccount } from './account.ts';
import { readGiven } from './files.ts';
import { CommandError, type CommandGroup, type CommandResult, shown } from './program.ts';
import { surroundings } from './surroundings.ts';
import { table } from './table.ts';

interface AddOptions extends AccountOptions {
  url?: string;
  entry?: string;
  baseUrl?: string;
  secret?: string[];
  header?: string[];
  name?: string;
}
const maxShown = 1_000;

export const connectorCommands: CommandGroup = (program, terminal, done) => {
  const connectors = program
    .command('connectors')
    .description('Connectors. An embedded database must not be in use by a gateway.');
  const command = (name: string, description: string) =>
    connectors
      .command(name)
      .description(description)
      .option('--account <name>', 'of this account instead of the operator’s own')
      .option('--json', 'answer in JSON');
  const withSecrets = (name: string, description: string) =>
    command(name, description)
      .argument('<connectorId>')
      .option('--name <name>', 'shown to people')
      .option('--secret <names...>', 'secrets that a user must have before a call')
      .option('--header <templates...>', 'request headers with secrets in them: "authorization: Bearer {{TOKEN}}"');
  withSecrets(
    'add',
    'Add an MCP server, or change the one with this id: over HTTP (--url) or from the catalogue (--entry).',
  )
    .option('--url <url>', 'address of an MCP server')
    .option('--entry <entry>', 'name in the catalogue of local servers')
    .action(done((id: string, options: AddOptions) => add(id, options, undefined, terminal.env)));
  withSecrets(
    'import',
    'Add a REST API by its OpenAPI document (2.0, 3.0, 3.1; JSON or YAML), or change the one with this id.',
  )
    .argument('<file>', 'the document')
    .option('--base-url <url>', 'where the API is, when not where the document says')
    .action(done((id: string, file: string, options: AddOptions) => add(id, options, file, terminal.env)));
  command('list', 'List connectors by id.').action(done((options: AccountOptions) => list(options, terminal.env)));
};

async function add(id: string, options: AddOptions, file: string | undefined, env: Env): Promise<CommandResult> {
  const { url, entry, baseUrl, secret, name } = options;
  if (file === undefined && (url === undefined) === (entry === undefined))
    throw new CommandError('Give --url or --entry.');
  const headers = Object.fromEntries((options.header ?? []).map(headerOf));
  const openapi = file === undefined ? undefined : await readGiven(file, `The document ${file}`);
  const kind = openapi !== undefined ? 'http' : url !== undefined ? 'mcp-http' : 'mcp-stdio';
  const connector = {
    connectorId: id,
    kind,
    ...(name !== undefined && { name }),
    ...(url !== undefined && { url }),
    ...(entry !== undefined && { entry }),
    ...(openapi !== undefined && { openapi }),
    ...(baseUrl !== undefined && { baseUrl }),
    ...(secret !== undefined && { secretNames: secret }),
    ...(Object.keys(headers).length > 0 && { inject: { headers } }),
  };
  // Through the file's own form: one check, and YAML reads JSON.
  const [wanted] = parseDocument(
    JSON.stringify({ format, accounts: [{ name: 'any', connectors: [connector] }] }),
  ).accounts;
  const config = loadConfig(env);
  const around = await surroundings(config);
  return withAccount(env, options, async ({ tx, account, db, keyring }) => {
    const made = await writeAccount(
      tx,
      account,
      { name: account.name, connectors: wanted?.connectors },
      {
        db,
        keyring,
        around,
        env: {},
        prune: false,
        dryRun: false,
      },
    );
    const [change] = made;
    const what = change === undefined ? 'unchanged' : change.what === 'create' ? 'created' : 'updated';
    return shown(options.json, { connectorId: id, status: what }, `Connector ${id}: ${what}.`);
  });
}

function headerOf(text: string): [string, string] {
  const at = text.indexOf(':');
  if (at < 1) throw new CommandError(`--header "${text}" is not "name: template".`);
  return [text.slice(0, at).trim().toLowerCase(), text.slice(at + 1).trim()];
}

async function list(options: AccountOptions, env: Env): Promise<CommandResult> {
  return withAccount(env, options, async ({ tx, account }) => {
    const page = { ...openPage('connectors', ['text'], {}), limit: maxShown };
    const { rows, total } = await listConnectors(tx, account.id, page);
    const connectors = rows.slice(0, maxShown).map(({ id, kind, name, enabled, config }) => ({
      connectorId: id,
      kind,
      name,
      enabled,
      at: config['url'] ?? config['baseUrl'] ?? config['entry'] ?? null,
    }));
    return shown(
      options.json,
      { connectors, total },
      table(connectors, ['connectorId', 'kind', 'name', 'enabled', 'at']),
    );
  });
}
