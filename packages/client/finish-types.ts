// The last touches on the declarations: which errors a method can meet, a lib that they need, and tabs, because spaces
// are a fifth of the file.
// Works on text that `plain-types` has made; knows nothing of schemas.
import type { RouteDefinition } from '@mcp-valet/shared';
import ts from 'typescript';

type Table = Readonly<Record<string, Readonly<Record<string, Pick<RouteDefinition, 'errors'>>>>>;

/** What callers see of these is an error that says all by itself, whatever the method: see `idempotencyKey`. */
const everywhere = /^IDEMPOTENCY_/;

/** Codes that a route declares beyond what every request can meet. */
export const codesOf = ({ errors }: Pick<RouteDefinition, 'errors'>): string[] =>
  errors.filter((code) => !everywhere.test(code));

export function finishTypes(text: string, contract: Table): string {
  const file = ts.createSourceFile('index.d.ts', text, ts.ScriptTarget.Latest, true);
  const insertions: { at: number; text: string }[] = [];
  for (const noun of membersOf(file, 'Derived')) {
    const methods =
      noun.type && ts.isTypeLiteralNode(noun.type) ? noun.type.members.filter(ts.isPropertySignature) : [];
    for (const method of methods) {
      const route = contract[noun.name.getText()]?.[method.name.getText()];
      const [doc] = ts.getJSDocCommentsAndTags(method);
      if (!route || !doc) continue;
      const codes = codesOf(route).filter((code) => !doc.getText().includes(code));
      if (codes.length > 0) insertions.push({ at: endOf(doc), text: ` Throws ${codes.join(', ')}.` });
    }
  }
  const documented = insertions
    .sort((a, b) => b.at - a.at)
    .reduce((whole, { at, text: added }) => whole.slice(0, at) + added + whole.slice(at), text);
  // `Symbol.asyncDispose` is in no lib before ESNext: without the reference this would not compile under `lib: ["es2022", "dom"]`.
  return `/// <reference lib="esnext.disposable" />\n${documented.replace(/^(?: {4})+/gm, (indent) => '\t'.repeat(indent.length / 4))}`;
}

function membersOf(file: ts.SourceFile, alias: string): ts.PropertySignature[] {
  const type = file.statements.filter(ts.isTypeAliasDeclaration).find(({ name }) => name.text === alias)?.type;
  if (!type || !ts.isTypeLiteralNode(type)) throw new Error(`The declarations have no object type ${alias}`);
  return type.members.filter(ts.isPropertySignature);
}

/** Behind the last word of a comment. */
function endOf(doc: ts.Node): number {
  const text = doc.getText();
  return doc.getStart() + text.slice(0, text.lastIndexOf('*/')).trimEnd().length;
}
