// Declarations of the entries beside the main one. They take the SDK's own types from the main entry, so that a class has one declaration and a value
// from one entry fits the other; bundling them would copy every class. Fails rather than leave an import that users do not have.
import { writeFileSync } from 'node:fs';
import ts from 'typescript';

/** Writes `dist/<name>.d.ts` and `.d.cts` for each source file. Needs the main entry's declarations. */
export function writeEntryTypes(entries: Readonly<Record<string, string>>): void {
  const { config } = ts.readConfigFile('../../tsconfig.json', ts.sys.readFile.bind(ts.sys)) as { config: object };
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, '../..');
  const program = ts.createProgram(Object.values(entries), {
    ...options,
    noEmit: false,
    incremental: false,
    declaration: true,
    emitDeclarationOnly: true,
  });
  for (const [name, path] of Object.entries(entries)) {
    const source = program.getSourceFile(path);
    if (!source) throw new Error(`There is no ${path}`);
    let text = '';
    program.emit(source, (_, written) => {
      text = written;
    });
    const imports = [...text.matchAll(/(?:from|import\()\s*['"](\.[^'"]*)['"]/g)].map((found) => found[1]);
    const foreign = imports.filter((path) => path !== '../index.ts');
    if (text === '' || foreign.length > 0)
      throw new Error(`The types of ${name} need ${foreign.join(', ') || 'a source'}`);
    writeFileSync(`dist/${name}.d.ts`, text.replaceAll("'../index.ts'", "'./index.js'"));
    writeFileSync(`dist/${name}.d.cts`, text.replaceAll("'../index.ts'", "'./index.cjs'"));
  }
}
