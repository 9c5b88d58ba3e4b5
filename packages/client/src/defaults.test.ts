// What an option is when nobody sets it, told by the code: the page of defaults is made of it, and each doc comment must say the same.
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { ConfigError } from './errors.ts';
import { plan } from './operation.ts';
import { resolveOptions } from './options.ts';
import { Transport } from './transport.ts';

const least = { baseUrl: 'https://mcp.example.com', apiKey: 'k' };
const config = resolveOptions(least);
const gate = config.rateLimit;
if (gate === false) throw new Error('The gate is off by default');
const timesOf = (kind: 'management' | 'execution') =>
  plan(new Transport(config), {
    kind,
    name: 'n',
    method: 'GET',
    url: 'https://mcp.example.com/x',
    template: '/x',
    accept: 'application/json',
    body: undefined,
    authorize: true,
    repeatable: true,
    reader: () => ({ read: () => undefined }),
  });
const times = { management: timesOf('management'), execution: timesOf('execution') };

/** Whether the code refuses an option's absence. */
const isRefused = (options: object): boolean => {
  try {
    resolveOptions({ ...least, ...options });
    return false;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return true;
  }
};

const count = (value: unknown): string => Number(value).toLocaleString('en-US');
const both = (key: 'timeoutMs' | 'deadlineMs'): string =>
  `${count(times.management[key])} for management, ${count(times.execution[key])} for executions`;
const quota = resolveOptions({ ...least, rateLimit: { quota: { limit: 7, windowMs: 1000 } } }).rateLimit;

/** Option -> its default as the code has it, in the words of the doc comments. */
const defaults: Record<'ClientOptions' | 'RateLimitOptions', Record<string, string>> = {
  ClientOptions: {
    server: config.server === undefined ? 'the aggregate endpoint `/mcp`' : config.server,
    timeout: both('timeoutMs'),
    deadline: both('deadlineMs'),
    maxRetries: count(config.maxRetries),
    retryBudget: String(config.retryBudget),
    cancelOnAbort: String(config.cancelOnAbort),
    idempotency: `\`${config.idempotency}\``,
    trustToolHints: String(config.trustToolHints),
    rateLimit: 'on, with the defaults of its options',
    maxResponseBytes: `${config.maxResponseBytes / 2 ** 20} MiB`,
    fetch: config.fetch === undefined ? 'the global one' : 'another',
    logger: config.logger === console ? 'the console' : 'another',
    logLevel: `\`${config.logLevel}\``,
    onUserFallback: `\`${config.onUserFallback}\``,
    responseValidation: 'replies are not checked',
    allowInsecureHttp: String(!isRefused({ baseUrl: 'http://mcp.example.com' })),
    // Refused in pages of a browser only, which a test in Node is not; `client.test.ts` makes one.
    dangerouslyAllowBrowser: 'false',
  },
  RateLimitOptions: {
    mode: `\`${gate.mode}\``,
    maxWaitMs: count(gate.maxWaitMs),
    learn: String(gate.learn),
    quota: quota && quota.quota?.burst === 7 ? 'burst: `limit`' : 'another burst',
    maxConcurrentPerUser: count(gate.maxConcurrentPerUser),
    maxConcurrent: count(gate.maxConcurrent),
    maxQueuePerUser: count(gate.maxQueuePerUser),
    maxQueue: count(gate.maxQueue),
    maxUsers: count(gate.maxUsers),
  },
};

/** The doc comments of an interface's members, each as one line. */
function documentation(file: string, name: string): Map<string, string> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const source = ts.createSourceFile(path, ts.sys.readFile(path) ?? '', ts.ScriptTarget.Latest, true);
  const found = source.statements.filter(ts.isInterfaceDeclaration).find((one) => one.name.text === name);
  return new Map(
    found?.members.map((member) => {
      const [doc] = ts.getJSDocCommentsAndTags(member);
      const text = doc && ts.isJSDoc(doc) ? (ts.getTextOfJSDocComment(doc.comment) ?? '') : '';
      return [member.name?.getText() ?? '', text.replace(/\s*\n\s*/g, ' ')];
    }),
  );
}

const documented = {
  ClientOptions: documentation('./options.ts', 'ClientOptions'),
  RateLimitOptions: documentation('./gate-options.ts', 'RateLimitOptions'),
};

describe.each(Object.entries(documented))('the doc comments of %s', (name, docs) => {
  const known = defaults[name as keyof typeof defaults];

  it('say what the code does', () => {
    const said = Object.keys(known).map((option) => {
      const [, text = ''] = /\bDefault:? (.+)/.exec(docs.get(option) ?? '') ?? [];
      return [option, text.startsWith(known[option] ?? '') ? known[option] : text];
    });
    expect(Object.fromEntries(said)).toEqual(known);
  });

  it('name no default that is not compared here', () => {
    const named = [...docs].filter(([, text]) => /\bDefault\b/.test(text)).map(([option]) => option);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((option) => !(option in known))).toEqual([]);
  });
});

/** A table as those who format Markdown leave it. */
function aligned(rows: readonly string[][]): string[] {
  const widths = [0, 1, 2].map((at) => Math.max(3, ...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`);
  return [lines[0] ?? '', `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...lines.slice(1)];
}

it('is on a page of the documentation, made of the code', async () => {
  const tables = Object.entries(documented).map(([name, docs]) => {
    const known = defaults[name as keyof typeof defaults];
    const what = (text: string): string => (text.split(/ Default\b/)[0] ?? '').replaceAll('|', '\\|');
    const rows = [...docs].map(([option, text]) => [`\`${option}\``, known[option] ?? '', what(text)]);
    const title = name === 'ClientOptions' ? 'new MCPClient(options)' : 'rateLimit';
    return [`## \`${title}\``, '', ...aligned([['option', 'default', ''], ...rows]), ''].join('\n');
  });
  const head = [
    '# Options of the SDK and their defaults',
    '',
    'Made from the code by a test (`packages/client/src/defaults.test.ts`), so it is what the SDK does. Times are milliseconds. Options of',
    'single calls are in the editor; what they leave out is what stands here.',
  ];
  await expect([...head, '', ...tables].join('\n')).toMatchFileSnapshot('../../../docs/sdk-defaults.md');
});
