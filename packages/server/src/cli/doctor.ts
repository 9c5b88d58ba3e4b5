// `mcp-valet doctor`: looks at everything that a gateway of this configuration needs, and says what to do about what it does not find. Reads only; upstreams are asked
// for nothing but an answer.
import { listAccounts } from '../accounts/store.ts';
import { type Config, loadConfig } from '../config.ts';
import { findSandbox } from '../connectors/backends/mcp-stdio-sandbox.ts';
import { createEgress, type Egress } from '../connectors/egress.ts';
import { readStdioCatalog, type StdioCatalog } from '../connectors/stdio-catalog.ts';
import { definitionOf, listConnectors } from '../connectors/store.ts';
import type { Database } from '../db/client.ts';
import { inspectDatabase } from '../db/migrate.ts';
import { accountScope, installationScope, scopedQuery, withScope } from '../db/scope.ts';
import { openPage } from '../page.ts';
import type { Env } from './account.ts';
import { type Finding, fail, nameOf, ok, warn } from './finding.ts';
import { limitStore } from './limit-store.ts';
import { DatabaseInUse, existingKeyring, NoDatabaseYet, NotUsedYet, withDatabase } from './open.ts';
import { type CommandGroup, type CommandResult, shown } from './program.ts';

const upstreamWithinMs = 5_000;
/** Tokens and windows live by the database's clock, logs by the process's. */
const clockWarnMs = 2_000;
const clockFailMs = 30_000;
const sealWarnSeconds = 3_600;
const maxConnectors = 500;

export const doctorCommands: CommandGroup = (program, terminal, done) => {
  program
    .command('doctor')
    .description('Check configuration, keys, database, clock, limits, local servers and upstreams; say what to do.')
    .option('--no-upstreams', 'do not ask upstreams for an answer')
    .option('--json', 'answer in JSON')
    .addHelpText('after', '\nExit code: 0 nothing is wrong, 1 something is, 2 it could not be checked.')
    .action(done((options: { upstreams: boolean; json?: boolean }) => doctor(options, terminal.env)));
};

async function doctor(options: { upstreams: boolean; json?: boolean }, env: Env): Promise<CommandResult> {
  // A configuration that is wrong ends here, with every wrong name: that is a finding by itself.
  const config = loadConfig(env);
  const findings: Finding[] = [...configuration(config), await limitStore(config)].filter(
    (finding) => finding !== undefined,
  );
  const { catalog, found } = await localServers(config);
  findings.push(...found);
  findings.push(...(await database(config, options.upstreams ? catalog : undefined)));
  const failed = findings.filter(({ what }) => what === 'fail').length;
  const lines = findings.map(({ what, about, found: text, advice }) => {
    const mark = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' }[what];
    return `${mark}  ${about}: ${text}${advice === undefined ? '' : `\n      -> ${advice}`}`;
  });
  const warned = findings.filter(({ what }) => what === 'warn').length;
  const end = [
    failed === 0 ? 'Nothing is wrong.' : `${failed} of ${findings.length} checks failed.`,
    ...(warned === 0 ? [] : [`Warnings: ${warned}.`]),
  ].join(' ');
  return {
    ...shown(options.json, { ok: failed === 0, findings }, [...lines, '', end].join('\n')),
    code: failed === 0 ? 0 : 1,
  };
}

function configuration(config: Config): Finding[] {
  const findings: Finding[] = [ok('Node.js', process.versions.node)];
  for (const text of config.warnings) findings.push(warn('Configuration', text, 'Correct the name, or remove it.'));
  const { protocol, hostname } = new URL(config.publicUrl);
  const isLoopback = ['localhost', '127.0.0.1', '[::1]'].includes(hostname);
  if (protocol === 'https:' || isLoopback) findings.push(ok('Public URL', config.publicUrl));
  else
    findings.push(
      warn(
        'Public URL',
        `${config.publicUrl} is http`,
        'End TLS in front of the gateway and set VALET_PUBLIC_URL to the https address.',
      ),
    );
  if (!isLoopback && config.trustProxy.length === 0)
    findings.push(
      warn(
        'Proxy',
        'no proxy is trusted',
        'If one is in front, list it in VALET_TRUST_PROXY, else its address is what the journal shows.',
      ),
    );
  return findings;
}

async function localServers(config: Config): Promise<{ catalog: StdioCatalog; found: Finding[] }> {
  const about = 'Local servers';
  const none: StdioCatalog = new Map();
  if (config.stdioCatalogFile === undefined) return { catalog: none, found: [ok(about, 'none, by configuration')] };
  let catalog: StdioCatalog;
  try {
    catalog = await readStdioCatalog(config.stdioCatalogFile);
  } catch (error) {
    return { catalog: none, found: [fail(about, nameOf(error), 'Correct the file of VALET_STDIO_CATALOG.')] };
  }
  const entries = `${catalog.size} in the catalogue`;
  if (config.stdioSandbox === 'off')
    return {
      catalog,
      found: [
        warn(
          about,
          `${entries}, without a sandbox`,
          'Set VALET_STDIO_SANDBOX=require unless you trust each command with everything the gateway can read.',
        ),
      ],
    };
  const sandbox = await findSandbox('auto');
  if (sandbox !== null) return { catalog, found: [ok(about, `${entries}, confined by bubblewrap`)] };
  const advice = 'Install bubblewrap (apt-get install bubblewrap) and allow user namespaces.';
  const isRequired = config.stdioSandbox === 'require';
  const text = `${entries}, and bubblewrap cannot be used here`;
  return { catalog, found: [isRequired ? fail(about, text, advice) : warn(about, text, advice)] };
}

async function database(config: Config, catalog: StdioCatalog | undefined): Promise<Finding[]> {
  const findings: Finding[] = [];
  const look = async (db: Database): Promise<void> => {
    const { isEmpty, pending, warnings } = await inspectDatabase(db);
    findings.push(ok('Database', db.kind === 'postgres' ? 'PostgreSQL answers' : 'the embedded database opens'));
    for (const text of warnings) findings.push(warn('Database', text, 'See "Which database" in the operating guide.'));
    if (isEmpty) {
      findings.push(warn('Schema', 'none yet: no gateway has used this database', 'Start the gateway.'));
      return;
    }
    if (pending.length > 0) {
      const advice = 'Run "mcp-valet db migrate", or start the gateway of this version.';
      findings.push(fail('Schema', `${pending.length} migrations are not applied`, advice));
      return;
    }
    findings.push(ok('Schema', 'of this version'), await clock(db));
    findings.push(await masterKey(config, db), await sealing(db));
    if (catalog !== undefined) findings.push(...(await upstreams(config, db, catalog)));
  };
  try {
    await withDatabase(config, look);
  } catch (error) {
    findings.push(notOpened(error, config.database));
  }
  return findings;
}

function notOpened(error: unknown, { kind, url }: Config['database']): Finding {
  if (error instanceof NoDatabaseYet)
    return warn('Database', nameOf(error), 'Start the gateway, or correct DATABASE_URL if it has run before.');
  if (error instanceof DatabaseInUse)
    return warn(
      'Database',
      'a gateway has the embedded database open, so nothing in it was checked',
      'Ask that gateway (GET /readyz, GET /status), or stop it and run this again.',
    );
  if (kind === 'pglite') return fail('Database', nameOf(error), 'Check DATABASE_URL, and who may read the directory.');
  const { host, pathname } = new URL(url.reveal());
  return fail(
    'Database',
    nameOf(error),
    `Check DATABASE_URL, and that ${host}${pathname} runs and is reached from here.`,
  );
}

async function clock(db: Database): Promise<Finding> {
  const before = Date.now();
  const [row] = await scopedQuery<{ now: string }>(
    db,
    installationScope,
    'select extract(epoch from clock_timestamp()) * 1000 as now',
  );
  const off = Math.round(Number(row?.now) - (before + Date.now()) / 2);
  const text = `${Math.abs(off)} ms ${off < 0 ? 'behind' : 'ahead of'} this machine`;
  const advice = 'Synchronise both clocks (NTP): keys and sessions end by the database’s.';
  if (Math.abs(off) >= clockFailMs) return fail('Clock of the database', text, advice);
  return Math.abs(off) >= clockWarnMs ? warn('Clock of the database', text, advice) : ok('Clock of the database', text);
}

async function masterKey(config: Config, db: Database): Promise<Finding> {
  try {
    const { installationId } = await existingKeyring(config, db);
    return ok('Master key', `opens the keyring of installation ${installationId}`);
  } catch (error) {
    if (error instanceof NotUsedYet) return warn('Master key', nameOf(error), 'Start the gateway.');
    return fail(
      'Master key',
      nameOf(error),
      'Give the key that this database was made with; without it no secret opens.',
    );
  }
}

async function sealing(db: Database): Promise<Finding> {
  const [row] = await scopedQuery<{ age: string | null }>(
    db,
    installationScope,
    'select extract(epoch from now() - max(at)) as age from checkpoints',
  );
  if (row?.age == null) return ok('Audit trail', 'nothing is sealed yet');
  const seconds = Math.round(Number(row.age));
  const text = `sealed ${seconds} s ago`;
  return seconds > sealWarnSeconds
    ? warn('Audit trail', text, 'A running gateway seals what it writes; see its log for sealing_failed.')
    : ok('Audit trail', text);
}

async function upstreams(config: Config, db: Database, catalog: StdioCatalog): Promise<Finding[]> {
  const egress = createEgress({ allowedCidrs: config.allowedUpstreamCidrs, denied: [] });
  try {
    const page = { ...openPage('accounts', ['text'], {}), limit: maxConnectors };
    const { rows: accounts } = await withScope(db, installationScope, (tx) => listAccounts(tx, page));
    const checks: Promise<Finding>[] = [];
    for (const { id, name } of accounts) {
      const { rows } = await withScope(db, accountScope(id), (tx) =>
        listConnectors(tx, id, { ...openPage('connectors', ['text'], {}), limit: maxConnectors }),
      );
      for (const row of rows.filter(({ enabled }) => enabled)) {
        const { kind, config: settings } = definitionOf(row);
        const about = `Upstream ${row.id} of ${name}`;
        if (kind !== 'mcp-stdio') checks.push(reach(egress, about, settings.url ?? settings.baseUrl));
        else if (catalog.has(settings.entry ?? '')) checks.push(Promise.resolve(ok(about, 'in the catalogue')));
        else
          checks.push(
            Promise.resolve(
              fail(about, `no entry ${settings.entry} in the catalogue`, 'Add it to the file of VALET_STDIO_CATALOG.'),
            ),
          );
      }
    }
    return await Promise.all(checks);
  } finally {
    await egress.close();
  }
}

/** Any answer will do: what it says is between the upstream and a user's credential. */
async function reach(egress: Egress, about: string, url: string | undefined): Promise<Finding> {
  if (url === undefined) return ok(about, 'is where its document says; not asked');
  try {
    const signal = AbortSignal.timeout(upstreamWithinMs);
    const { status } = await egress.request(`doctor ${about}`, url, {
      method: 'GET',
      headers: { accept: '*/*' },
      signal,
    });
    return ok(about, `answers (${status})`);
  } catch (error) {
    return fail(
      about,
      nameOf(error),
      'Check its address, this machine’s network, and VALET_ALLOWED_UPSTREAM_CIDRS where it is private.',
    );
  }
}
