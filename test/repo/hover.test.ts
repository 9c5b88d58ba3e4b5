// What an editor shows about the packed SDK, asked of TypeScript's language service: sentences, defaults with units, errors, and types that a
// person can read. Two walks over everything, and a sample of what callers meet first.
import { join } from 'node:path';
import { contract } from '@mcp-valet/shared';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf } from '../../packages/client/finish-types.ts';
import { callersOptions, type PackedClient, unpackClient } from './packed-client.ts';

interface Expected {
  /** It can throw, so a class or a code is named. */
  throws?: true;
  /** What the documentation says that nothing sets it to. */
  byDefault?: RegExp;
}
const throws: Expected = { throws: true };
const byDefault = (value: RegExp): Expected => ({ byDefault: value });

/** What is hovered over, in the code below. */
const sample: Record<string, Expected> = {
  'client.users.create': throws,
  'client.users.offboard': throws,
  'client.servers.create': throws,
  'client.servers.rotateToken': throws,
  'client.keys.create': throws,
  'client.keys.revoke': throws,
  'client.connectors.create': throws,
  'client.credentials.deposit': throws,
  'client.credentials.get': throws,
  'client.secrets.set': throws,
  'client.secrets.delete': throws,
  'client.tokens.create': throws,
  'client.groups.addMember': throws,
  'client.calls.list': {},
  'client.calls.findByIdempotencyKey': {},
  'client.createServer': throws,
  'client.setSecret': throws,
  'client.forUser': throws,
  'client.me': throws,
  'client.request': throws,
  'client.withOptions': throws,
  'user.execute': throws,
  'user.runAction': throws,
  'user.token': throws,
  'user.toolsFor': throws,
  'user.hosted': throws,
  'user.history': throws,
  'user.limits': {},
  'user.resources.read': throws,
  'options.timeout': byDefault(/Milliseconds.*Default 20,000.*45,000/s),
  'options.deadline': byDefault(/Milliseconds.*Default 60,000.*120,000/s),
  'options.maxRetries': byDefault(/Default 2\./),
  'options.maxResponseBytes': byDefault(/in bytes\. Default 16 MiB\./),
  'options.rateLimit': byDefault(/Default: on/),
  'options.logLevel': byDefault(/Default `warn`/),
  'perCall.timeout': byDefault(/Milliseconds.*Default: the client's/s),
  'perCall.maxRetries': byDefault(/Default: the client's/),
  'perCall.idempotencyKey': byDefault(/Default: random/),
  'gate.mode': byDefault(/Default `auto`/),
  'gate.maxWaitMs': byDefault(/milliseconds\. Default 2,000\./),
  'gate.quota': byDefault(/`windowMs` milliseconds.*Default burst: `limit`/s),
  'gate.maxConcurrentPerUser': byDefault(/Default 10\./),
  'error.code': {},
  'error.executed': {},
  'error.retryAfterMs': {},
  'limited.source': {},
  'unconnected.connectUrl': {},
  'doubtful.state': {},
  'result.structuredContent': {},
  'result.json': throws,
  'page.items': {},
  'page.toArray': {},
  'call.withMeta': {},
  'call.safe': {},
  'meta.waitedMs': {},
  'found.safe': {},
};

const members = Object.keys(sample);
const code = `import type {
  Call, CallOptions, CallRecord, ClientOptions, CredentialRequiredError, MCPClient, Meta, OutcomeUnknownError, Page, RateLimitError,
  RateLimitOptions, Server, ToolResult, User, UserClient, ValetError,
} from '@mcp-valet/client';
declare const client: MCPClient, user: UserClient, options: Required<ClientOptions>, perCall: Required<CallOptions>;
declare const gate: Required<RateLimitOptions>, error: ValetError, limited: RateLimitError, unconnected: CredentialRequiredError;
declare const doubtful: OutcomeUnknownError, result: ToolResult<{ ts: string }>, page: Page<User>, call: Call<Server>;
declare const meta: Meta, found: Call<CallRecord | undefined>;
${members.map((member) => `${member};`).join('\n')}
`;

let packed: PackedClient;
let file: string;
let language: ts.LanguageService;

beforeAll(() => {
  packed = unpackClient();
  file = join(packed.project, 'hover.mts');
  const text = (name: string) => (name === file ? code : ts.sys.readFile(name));
  language = ts.createLanguageService({
    getCompilationSettings: () => ({ ...callersOptions, module: ts.ModuleKind.Node16 }),
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const content = text(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => packed.project,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: text,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
  });
}, 120_000);
afterAll(() => packed?.remove());

const textOf = (parts: ts.SymbolDisplayPart[] | undefined): string => ts.displayPartsToString(parts);

describe('hovering over', () => {
  it.each(members)('%s shows a sentence, what it is without it, what it throws, and plain types', (member) => {
    const { throws: mayThrow, byDefault: fallback } = sample[member] ?? {};
    const info = language.getQuickInfoAtPosition(file, code.indexOf(`\n${member};`) + member.length);
    const said = textOf(info?.documentation);
    expect(said).toMatch(/^[A-Z`2345][^\n]*[.:]/);
    if (mayThrow) expect(said).toMatch(/\b[A-Z]\w+Error\b|\b[A-Z]+(?:_[A-Z]+)+\b|CONFLICT|Throws (?:the class|as)/);
    if (fallback) expect(said).toMatch(fallback);
    expect(textOf(info?.displayParts)).not.toMatch(
      /\bany\b|\bz\.|Zod|\binfer\b|Simplify|Prettify|\w\$\d|__type|\bky\b/,
    );
  });
});

/** Every member that a caller can reach from the exports, as `Class.member`. Contents of answers and of MCP are data and speak for themselves. */
function* documented(checker: ts.TypeChecker): Generator<[string, string]> {
  const source = language
    .getProgram()
    ?.getSourceFile(join(packed.project, 'node_modules/@mcp-valet/client/dist/index.d.ts'));
  const module = source && checker.getSymbolAtLocation(source);
  if (!module) throw new Error('The declarations of the SDK were not found');
  const data =
    /^(?:Mcp|Hosted|OpenAI|Anthropic|Adapter|Agent|Tool(?:Info|Call|Schema|Annot|Registry)|ContentBlock|Token|Minted|Created|ErrorFields|ConnectionFields)/;
  const rows =
    /^(?:Server|User|ApiKey|Connector|Action|Credential|SecretInfo|CallRecord|AuditEvent|Account|Me|GatewayStatus|Explanation|Restrictions|SafeResult)$/;
  for (const exported of checker.getExportsOfModule(module)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    yield [exported.name, textOf(symbol.getDocumentationComment(checker))];
    if (data.test(exported.name) || rows.test(exported.name)) continue;
    for (const member of checker.getDeclaredTypeOfSymbol(symbol).getProperties()) {
      const isOurs = member.declarations?.some((node) => node.getSourceFile() === source);
      if (isOurs && !/^#|^__/.test(member.name))
        yield [
          `${exported.name}.${member.name}`,
          textOf(member.getDocumentationComment(checker)) + textOf(member.getJsDocTags(checker)[0]?.text),
        ];
    }
  }
}

describe('everything', () => {
  it('that is exported, and each method, option and fact, has a sentence', () => {
    const checker = language.getProgram()?.getTypeChecker();
    const found = checker ? [...documented(checker)] : [];
    expect(found.length).toBeGreaterThan(300);
    expect(found.filter(([, said]) => said === '').map(([name]) => name)).toEqual([]);
  });

  it('that a route of the contract can refuse is named on its method', () => {
    const checker = language.getProgram()?.getTypeChecker();
    const source = language.getProgram()?.getSourceFile(file);
    const node = source?.statements.filter(ts.isVariableStatement)[0]?.declarationList.declarations[0]?.name;
    if (!checker || !node) throw new Error('The sample was not found');
    const client = checker.getTypeAtLocation(node);
    const own = ['secrets', 'tools', 'system'];
    const missing = Object.entries(contract).flatMap(([noun, routes]) => {
      if (own.includes(noun)) return [];
      const namespace = client.getProperty(noun);
      const methods = namespace && checker.getTypeOfSymbol(namespace);
      return Object.entries(routes).flatMap(([name, route]) => {
        const method = methods?.getProperty(name);
        const said = textOf(method?.getDocumentationComment(checker));
        if (said === '') return [`${noun}.${name}`];
        return codesOf(route).flatMap((each) => (said.includes(each) ? [] : [`${noun}.${name}: ${each}`]));
      });
    });
    expect(missing).toEqual([]);
  });
});
