// The guides are true: their blocks run, one after another as a reader runs them, against a real gateway and a third-party MCP server, and
// print what the page shows. Each page has an account of its own; the page about accounts has the operator's.
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startEverything } from '../../examples/quickstart/src/processes.ts';
import { read, root } from '../repo/workspace.ts';
import { type Rig, startRig } from '../support/gateway.ts';
import { type CatalogueFile, writeCatalogue } from '../upstreams/stdio-catalogue-file.ts';
import { type Block, blocksOf, markdownFiles } from './markdown.ts';
import { type Printed, patternOf, runModules, runShell, tidy } from './run-blocks.ts';

const here = `${root}test/docs`;
const operatorPage = 'docs/guides/users-and-keys.md';
const pages = markdownFiles().filter((file) => file.startsWith('docs/') && runnable(file).length > 0);

let rig: Rig;
let catalogue: CatalogueFile;
let upstream: Awaited<ReturnType<typeof startEverything>>;
beforeAll(async () => {
  catalogue = writeCatalogue(shownCatalogue());
  [rig, upstream] = await Promise.all([
    startRig({ env: { VALET_ALLOWED_UPSTREAM_CIDRS: '127.0.0.0/8', VALET_STDIO_CATALOG: catalogue.file } }),
    startEverything(),
  ]);
  await warmUp();
}, 120_000);
afterAll(async () => {
  await rig?.close();
  await upstream?.stop();
  catalogue?.remove();
});

/** The catalogue that the guide shows, with the places where this machine has what it names. */
function shownCatalogue(): Record<string, unknown> {
  const block = blocksOf(read('docs/guides/stdio-servers.md')).find(({ role }) => role === 'catalogue');
  const name = '@modelcontextprotocol/server-everything';
  const installed = dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
  const code = (block?.code ?? '')
    .replace('/usr/bin/node', process.execPath)
    .replace(`/opt/mcp/node_modules/${name}`, installed)
    .replace('/opt/mcp', root.replace(/\/$/, ''));
  return JSON.parse(code) as Record<string, unknown>;
}

/** The first call loads code on both sides, which on a busy machine can take longer than the gateway waits for an upstream's first word. */
async function warmUp(): Promise<void> {
  const { apiKey } = await rig.manage('POST', '/api/accounts', { name: 'warm-up' });
  await rig.manage(
    'POST',
    '/api/connectors',
    { connectorId: 'everything', kind: 'mcp-http', url: upstream.url },
    apiKey,
  );
  const body = { serverName: 'everything', methodName: 'echo', args: { message: 'hello' } };
  await vi.waitFor(
    async () => expect(await rig.send('/mcp/tool/call', { key: apiKey, body })).toMatchObject({ status: 200 }),
    {
      timeout: 60_000,
      interval: 200,
    },
  );
}

function runnable(file: string): Block[] {
  return blocksOf(read(file)).filter(({ role }) => role === 'run');
}

/** The set-up block of the index with this run's values in place of the page's. */
function setUp(values: Record<string, string>): string {
  const block = blocksOf(read('docs/README.md')).find(({ role }) => role === 'setup');
  let code = block?.code ?? '';
  for (const [name, value] of Object.entries(values)) {
    const line = new RegExp(`^${name}=\\S+`, 'm');
    if (!line.test(code)) throw new Error(`the set-up block does not set ${name}`);
    code = code.replace(line, `${name}='${value}'`);
  }
  return code;
}

async function keyFor(page: string): Promise<string> {
  if (page === operatorPage) return rig.admin;
  const name = page.replace(/^.*\/|\.md$/g, '');
  const { apiKey } = await rig.manage('POST', '/api/accounts', { name });
  return apiKey as string;
}

/** What each block printed, keyed by the block: the shell's blocks first, then the modules. */
async function runPage(page: string): Promise<Printed[]> {
  const key = await keyFor(page);
  const blocks = runnable(page);
  const shell = blocks.filter(({ language }) => language === 'sh');
  const modules = blocks.filter(({ language }) => language === 'ts');
  const prelude = setUp({ GATEWAY: rig.url, KEY: key, UPSTREAM: upstream.url });
  const printed = await runShell(shell, prelude, { PATH: process.env.PATH }, here);
  const env = { MCP_VALET_BASE_URL: rig.url, MCP_VALET_API_KEY: key, UPSTREAM: upstream.url };
  return [...printed, ...(await runModules(modules, here, env))];
}

/** The page with this run's addresses in place of the ones it shows. */
const asShown = (text: string): string =>
  text.replaceAll(upstream.url, 'http://127.0.0.1:3001/mcp').replaceAll(rig.url, 'http://127.0.0.1:8787');

it('every guide holds something to run', () => {
  const guides = markdownFiles().filter((file) => file.startsWith('docs/guides/'));
  expect(guides).toHaveLength(25);
  expect(guides.filter((file) => !pages.includes(file))).toEqual([]);
});

describe.each(pages)('%s', (page) => {
  it('runs as written and prints what it shows', { timeout: 60_000 }, async () => {
    const printed = await runPage(page);
    expect(printed).toHaveLength(runnable(page).length);
    const all = blocksOf(read(page));
    for (const [index, block] of all.entries()) {
      if (block.role !== 'output') continue;
      const source = all[index - 1];
      const text = printed.find((one) => one.block.line === source?.line)?.text;
      if (text === undefined) throw new Error(`the output in line ${block.line} follows no block that runs`);
      expect(tidy(asShown(text), block.language), `${page}:${block.line}`).toMatch(patternOf(block));
    }
  });
});
