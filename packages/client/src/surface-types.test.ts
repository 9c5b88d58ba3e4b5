// The types as a caller meets them: what compiles, what does not, and what an editor shows on a method: the doc comment of the
// contract, through the mapped types.
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
// Only compiled below; imported so that it is not dead code.
import './surface.types.ts';

const file = fileURLToPath(new URL('./hover-sample.ts', import.meta.url));
const surface = fileURLToPath(new URL('./surface.types.ts', import.meta.url));
const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Member -> what its first sentence must contain. */
const members: Record<string, string> = {
  'client.servers.create': 'Publishes an MCP endpoint',
  'client.servers.rotateToken': 'A new access token',
  'client.users.create': 'Creates a user',
  'client.users.setAccess': 'Replaces both lists',
  'client.keys.revoke': 'Revokes a key',
  'client.connectors.create': 'Registers an upstream',
  'client.connectors.tools': 'tools: `actions` in',
  'client.credentials.create': 'Stores a user',
  'client.credentials.deposit': 'Stores a user',
  'client.secrets.set': 'Stores a secret',
  'client.calls.list': 'The journal',
  'client.audit.list': 'audit events',
  'client.accounts.create': 'Creates an account',
  'client.executeForUser': 'Calls a tool as one of your users',
  'client.createServer': 'Publishes an MCP endpoint',
  'client.setSecret': 'Stores a secret',
  'client.forUser': 'Everything as one user',
  'client.me': 'Who this key is',
  'client.withOptions': 'options changed',
  "client.forUser('a').execute": 'Calls a tool as this user',
  "client.forUser('a').secrets.set": 'Stores a secret',
  "client.forUser('a').history": 'calls, newest first',
  "client.forUser('a').tools.all": 'kept for as long as the server says',
  "client.forUser('a').toolsFor": "tools in a framework's own form",
  "client.forUser('a').mcp.fetch": 'Carries requests of an MCP client',
  "client.forUser('a').hosted": 'a model provider calls the gateway itself',
  "client.forUser('a').token": 'Mints a token that acts as this user',
  "client.forUser('a').connect": 'An official MCP client, connected as this user',
};

const lines = Object.keys(members).map((member) => `${member};`);
const source = [`import { MCPClient } from './index.ts';`, 'const client = new MCPClient();', ...lines].join('\n');

function service(): ts.LanguageService {
  const { config } = ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, root);
  const text = (name: string) => (name === file ? source : ts.sys.readFile(name));
  return ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file, surface],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const content = text(name);
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => root,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: text,
    readDirectory: ts.sys.readDirectory,
    directoryExists: ts.sys.directoryExists,
  });
}

const language = service();

describe('the surface', () => {
  it('takes what it should and refuses every line marked as wrong', () => {
    const found = [...language.getSyntacticDiagnostics(surface), ...language.getSemanticDiagnostics(surface)];
    expect(found.map((one) => ts.flattenDiagnosticMessageText(one.messageText, ' '))).toEqual([]);
    expect(ts.sys.readFile(surface)?.match(/@ts-expect-error/g)?.length).toBeGreaterThan(10);
  });
});

describe('hovering', () => {
  for (const [member, sentence] of Object.entries(members)) {
    it(`shows the doc comment of ${member}`, () => {
      const at = source.indexOf(`\n${member};`) + member.length;
      const info = language.getQuickInfoAtPosition(file, at);
      expect(ts.displayPartsToString(info?.documentation)).toContain(sentence);
      expect(ts.displayPartsToString(info?.displayParts)).not.toMatch(/\bany\b/);
    });
  }
});
