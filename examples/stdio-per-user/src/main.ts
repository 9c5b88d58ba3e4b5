// A local MCP server for every user: the operator lists a command once, and the gateway runs it once per user, with that user's secret alone.
// Exit code 0 only if every step held.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BadRequestError, MCPClient, UpstreamError } from '@mcp-valet/client';
import { startTestGateway } from '@mcp-valet/server/testing';
import { Story } from './story.ts';

const require = createRequire(import.meta.url);
const story = new Story();
const keys = { alice: 'key-of-alice-4f1d9a', bob: 'key-of-bob-b03c77' };
const here = dirname(fileURLToPath(import.meta.url));
const everything = dirname(require.resolve('@modelcontextprotocol/server-everything/package.json'));
const repository = join(here, '..', '..', '..');
const directory = await mkdtemp(join(tmpdir(), 'mcp-valet-'));
const cleanups: (() => Promise<void>)[] = [() => rm(directory, { recursive: true, force: true })];

/** What the operator writes: the only place in the system that holds a command. */
const catalogue = {
  tickets: {
    description: 'Our ticket system',
    command: process.execPath,
    args: [join(here, '..', 'server', 'tickets.mjs')],
    env: ['TICKETS_KEY'],
    files: [repository],
  },
  everything: {
    description: 'The reference server of the MCP project, from npm',
    command: process.execPath,
    args: [join(everything, 'dist', 'index.js')],
    env: ['DEMO_TOKEN'],
    files: [repository],
  },
};

async function run(): Promise<void> {
  story.chapter('The operator’s catalogue: two commands, and the environment names that may carry a secret');
  const file = join(directory, 'stdio.json');
  await writeFile(file, JSON.stringify(catalogue), { mode: 0o600 });
  for (const [name, { env, description }] of Object.entries(catalogue))
    story.tell(`${name.padEnd(12)}${env.join()}   ${description}`);
  const gateway = await startTestGateway({ env: { VALET_STDIO_CATALOG: file, LOG_LEVEL: 'error' } });
  cleanups.push(() => gateway.close());
  const baseUrl = await gateway.listen();
  const admin = new MCPClient({ baseUrl, apiKey: gateway.apiKey });

  story.chapter('Connectors name an entry; a request never carries a command');
  await admin.connectors.create({
    connectorId: 'tickets',
    kind: 'mcp-stdio',
    entry: 'tickets',
    secretNames: ['TICKETS_KEY'],
  });
  await admin.connectors.create({ connectorId: 'everything', kind: 'mcp-stdio', entry: 'everything' });
  const commands = [{ entry: '/usr/bin/touch' }, { entry: 'tickets', command: '/usr/bin/touch' }];
  for (const wish of commands) {
    const evil = { connectorId: 'evil', kind: 'mcp-stdio' as const, ...wish };
    await story.refused(() => admin.connectors.create(evil), BadRequestError, JSON.stringify(wish));
  }

  story.chapter('Two users, one connector, two processes');
  for (const username of ['alice', 'bob'] as const) {
    await admin.users.create({ username });
    await admin.setSecret({ userId: username, connector: 'tickets', name: 'TICKETS_KEY', value: keys[username] });
  }
  const [alice, bob] = [admin.forUser('alice'), admin.forUser('bob')];
  for (const [user, account] of [
    [alice, 'Alice GmbH'],
    [bob, 'Bob Ltd'],
  ] as const) {
    const answer = await user.runAction('tickets', 'whoami', {});
    story.check(answer.json<{ account: string }>().account === account, `the process says ${answer.text()}`);
  }
  await alice.runAction('tickets', 'add_ticket', { title: 'The printer is on fire' });
  const ofBob = (await bob.runAction('tickets', 'list_tickets', {})).text();
  story.check(!ofBob.includes('printer'), `what alice’s process remembers, bob’s does not know: ${ofBob}`);

  story.chapter('Many calls at once share their user’s process, and nothing crosses');
  const answers = await Promise.all(
    Array.from({ length: 16 }, (_, at) => (at % 2 === 0 ? alice : bob).runAction('tickets', 'whoami', {})),
  );
  const accounts = answers.map((answer) => answer.json<{ account: string }>().account);
  const right = accounts.filter((account, at) => account === (at % 2 === 0 ? 'Alice GmbH' : 'Bob Ltd'));
  story.check(right.length === 16, `${right.length} of 16 concurrent calls came back with their own user’s account`);

  story.chapter('A crash is one user’s, and one call’s');
  await story.refused(() => alice.runAction('tickets', 'crash', {}), UpstreamError, 'alice');
  story.check(!(await bob.runAction('tickets', 'whoami', {})).isError, 'bob noticed nothing');
  const back = await alice.runAction('tickets', 'list_tickets', {});
  story.check(back.json<{ account: string }>().account === 'Alice GmbH', `alice has a fresh process: ${back.text()}`);

  story.chapter('Servers of others work the same way');
  await admin.setSecret({ userId: 'alice', connector: 'everything', name: 'DEMO_TOKEN', value: 'demo-token-of-alice' });
  const echo = await alice.runAction('everything', 'echo', { message: 'hello' });
  story.check(echo.text().includes('hello'), `server-everything from npm: ${echo.text()}`);
  const environment = (await alice.runAction('everything', 'get-env', {})).text();
  story.check(
    environment.includes('"DEMO_TOKEN": "[secret]"') && !environment.includes('demo-token-of-alice'),
    'its tool that prints its environment shows DEMO_TOKEN as [secret], and nothing of the gateway’s environment',
  );
  story.tell(
    `names in it: ${Object.keys(JSON.parse(environment) as object)
      .sort()
      .join(' ')}`,
  );
}

try {
  await run();
} catch (error) {
  story.check(false, error instanceof Error ? `${error.name}: ${error.message}` : String(error));
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup();
}
process.stdout.write(story.failed === 0 ? '\nEvery step held.\n' : `\n${story.failed} steps did not hold.\n`);
process.exitCode = story.failed === 0 ? 0 : 1;
