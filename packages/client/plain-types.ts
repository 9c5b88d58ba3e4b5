// Makes the client's declarations stand alone: what the contract infers through zod is written out as plain objects, so that users need neither
// zod nor ky and an editor shows fields instead of schema machinery. Runs on the bundled declarations; changes no meaning, and fails rather than
// leave an import that users do not have.
import { writeFileSync } from 'node:fs';
import ts from 'typescript';
import { TypePrinter } from './plain-print.ts';

const inlined = /^(zod|ky)($|\/)/;
const compilerOptions: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2023,
  types: ['node'],
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
};

/** Rewrites a bundled declaration file in place. */
export function writePlainTypes(path: string): void {
  const program = ts.createProgram([path], compilerOptions);
  const file = program.getSourceFile(path);
  if (!file) throw new Error(`${path} does not exist`);
  const text = new Rewriter(file, program.getTypeChecker()).text();
  writeFileSync(path, text);
  const leak = /(?:from|import\()\s*['"]((?:zod|ky)[^'"]*)['"]/.exec(text);
  if (leak) throw new Error(`${path} still needs ${leak[1]}`);
  const plain = ts.createProgram([path], compilerOptions, undefined, program);
  const wrong = ts.getPreEmitDiagnostics(plain, plain.getSourceFile(path));
  if (wrong.length > 0)
    throw new Error(wrong.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')).join('\n'));
}

type Declaration = ts.DeclarationStatement | ts.VariableStatement;

class Rewriter {
  readonly #file: ts.SourceFile;
  readonly #checker: ts.TypeChecker;
  readonly #printer: TypePrinter;
  /** A name may have several: a class and the interface that is merged into it. */
  readonly #declarations = new Map<string, Declaration[]>();
  /** Names that lead to zod or ky, themselves or through another. */
  readonly #tainted = new Set<string>();
  /** Tainted names that can be declared without zod or ky, and so may stand in the result. */
  readonly #rescued = new Set<string>();
  /** Names that the exports need; grows while they are written. */
  readonly #needed = new Set<string>();

  constructor(file: ts.SourceFile, checker: ts.TypeChecker) {
    this.#file = file;
    this.#checker = checker;
    this.#printer = new TypePrinter(checker, {
      isKept: ({ name }) => this.#declarations.has(name) && this.#isKept(name),
      use: (name) => this.#needed.add(name),
    });
    for (const statement of file.statements) {
      if (ts.isImportDeclaration(statement)) {
        const isInlined = inlined.test((statement.moduleSpecifier as ts.StringLiteral).text);
        if (isInlined) for (const name of namesOf(statement)) this.#tainted.add(name);
      } else if (!ts.isExportDeclaration(statement)) {
        for (const name of namesOf(statement)) {
          this.#declarations.set(name, [...(this.#declarations.get(name) ?? []), statement as Declaration]);
        }
      }
    }
    untilStable(this.#tainted, () => {
      for (const [name, declarations] of this.#declarations) {
        if (declarations.some((declaration) => this.#isTainted(declaration))) this.#tainted.add(name);
      }
    });
    for (const name of this.#tainted) if (this.#declarations.has(name)) this.#rescued.add(name);
    untilStable(this.#rescued, () => {
      for (const name of this.#rescued) {
        if (!this.#declarations.get(name)?.every((declaration) => this.#canRewrite(declaration, name)))
          this.#rescued.delete(name);
      }
    });
  }

  text(): string {
    if (this.#tainted.size === 0) return this.#file.text;
    const exported = this.#exportedNames();
    const aliases = [...this.#rescued].sort((a, b) => Number(exported.includes(a)) - Number(exported.includes(b)));
    // Twice, so that the text of one type can use the name of another; exported names last, so that they win.
    for (const name of [...aliases, ...aliases]) {
      const [declaration] = this.#declarations.get(name) ?? [];
      if (declaration && ts.isTypeAliasDeclaration(declaration) && !declaration.typeParameters) {
        this.#printer.remember(name, this.#checker.getTypeFromTypeNode(declaration.type));
      }
    }
    this.#needed.clear();
    for (const name of exported) this.#needed.add(name);
    const written = new Map<ts.Statement, string>();
    for (const name of this.#needed) {
      for (const declaration of this.#declarations.get(name) ?? []) {
        if (!written.has(declaration)) written.set(declaration, this.#rewrite(declaration, name));
      }
    }
    const isNeeded = (statement: ts.Statement): boolean =>
      ts.isExportDeclaration(statement) ||
      (ts.isImportDeclaration(statement) && namesOf(statement).some((name) => this.#needed.has(name)));
    const statements = this.#file.statements.map(
      (statement) => written.get(statement) ?? (isNeeded(statement) ? statement.getText() : ''),
    );
    return `${statements.filter((text) => text !== '').join('\n\n')}\n`;
  }

  #exportedNames(): string[] {
    return this.#file.statements.filter(ts.isExportDeclaration).flatMap(({ exportClause }) => {
      if (!exportClause || !ts.isNamedExports(exportClause)) throw new Error('Only named exports can be followed');
      return exportClause.elements.map(({ propertyName, name }) => (propertyName ?? name).text);
    });
  }

  #isTainted(node: ts.Node): boolean {
    const name = referenced(node);
    if (name !== undefined && this.#tainted.has(name)) return true;
    return ts.forEachChild(node, (child) => this.#isTainted(child) || undefined) ?? false;
  }

  #isKept(name: string): boolean {
    return !this.#tainted.has(name) || this.#rescued.has(name);
  }

  /** Whether a type has to be written out: named by what cannot stay, or computed from it. */
  #mustExpand(node: ts.Node): node is ts.TypeNode {
    if (!ts.isTypeNode(node) || !this.#isTainted(node)) return false;
    const name = referenced(node);
    if (name === undefined) return isComputed(node) && this.#isLost(node) && !this.#waits(node);
    return this.#isLostName(node, name);
  }

  /** What stays computed can be added to: users declare their tools in an interface whose keys are asked for. */
  #isLost(node: ts.Node): boolean {
    const name = referenced(node);
    if (name !== undefined && this.#isLostName(node, name)) return true;
    return ts.forEachChild(node, (child) => this.#isLost(child) || undefined) ?? false;
  }

  /** A value's type can only be written out; a type's name may have been rescued. */
  #isLostName(node: ts.Node, name: string): boolean {
    return ts.isTypeQueryNode(node) ? this.#tainted.has(name) : !this.#isKept(name);
  }

  /** Whether a type depends on a type parameter from outside, so that it is not known yet. */
  #waits(node: ts.Node): boolean {
    const visit = (inner: ts.Node): boolean => {
      if (ts.isTypeReferenceNode(inner)) {
        const symbol = this.#checker.getSymbolAtLocation(inner.typeName);
        const isParameter = symbol && symbol.flags & ts.SymbolFlags.TypeParameter;
        if (isParameter && !symbol.declarations?.some(({ pos, end }) => pos >= node.pos && end <= node.end))
          return true;
      }
      return ts.forEachChild(inner, (child) => visit(child) || undefined) ?? false;
    };
    return visit(node);
  }

  #canRewrite(node: ts.Node, self: string): boolean {
    if (!this.#isTainted(node)) return true;
    if (this.#mustExpand(node)) {
      return !this.#waits(node) && this.#printer.isPlain(this.#checker.getTypeFromTypeNode(node), self);
    }
    return !ts.forEachChild(node, (child) => !this.#canRewrite(child, self) || undefined);
  }

  #rewrite(declaration: Declaration, self: string): string {
    let text = '';
    let copied = declaration.getStart(this.#file, true);
    const visit = (node: ts.Node): void => {
      if (this.#mustExpand(node)) {
        const from = node.getStart();
        const type = this.#checker.getTypeFromTypeNode(node);
        if (!this.#printer.isPlain(type, self))
          throw new Error(`The public type ${self} needs \`${node.getText()}\`, which cannot do without zod or ky`);
        const line = this.#file.text.slice(this.#file.text.lastIndexOf('\n', from) + 1, from);
        const indent = /^[ \t]*/.exec(line)?.[0] ?? '';
        const plain = this.#printer
          .print(this.#checker.getTypeFromTypeNode(node), self)
          .replaceAll('\n', `\n${indent}`);
        text += this.#file.text.slice(copied, from) + plain;
        copied = node.end;
        return;
      }
      const name = referenced(node);
      if (name !== undefined) this.#needed.add(name);
      ts.forEachChild(node, visit);
    };
    visit(declaration);
    return text + this.#file.text.slice(copied, declaration.end);
  }
}

function untilStable(set: ReadonlySet<string>, step: () => void): void {
  for (let before = -1; before !== set.size; ) {
    before = set.size;
    step();
  }
}

function namesOf(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => name.getText());
  if (ts.isImportDeclaration(statement)) {
    const { name, namedBindings } = statement.importClause ?? {};
    const bound = namedBindings && (ts.isNamespaceImport(namedBindings) ? [namedBindings] : namedBindings.elements);
    return [name, ...(bound ?? []).map((element) => element.name)].flatMap((identifier) => identifier?.text ?? []);
  }
  const { name } = statement as ts.DeclarationStatement;
  return name && ts.isIdentifier(name) ? [name.text] : [];
}

/** The first identifier of a reference to a type, to the type of a value, or to a symbol that names a member. */
function referenced(node: ts.Node): string | undefined {
  let name: ts.Node | undefined;
  if (ts.isTypeReferenceNode(node)) name = node.typeName;
  else if (ts.isTypeQueryNode(node)) name = node.exprName;
  else if (ts.isExpressionWithTypeArguments(node) || ts.isComputedPropertyName(node)) name = node.expression;
  while (name && !ts.isIdentifier(name)) {
    if (ts.isQualifiedName(name)) name = name.left;
    else if (ts.isPropertyAccessExpression(name)) name = name.expression;
    else return undefined;
  }
  return name?.text;
}

/** Types that TypeScript computes from others: writing out the result means the same. */
function isComputed(node: ts.TypeNode): boolean {
  return (
    ts.isIndexedAccessTypeNode(node) ||
    ts.isMappedTypeNode(node) ||
    ts.isConditionalTypeNode(node) ||
    (ts.isTypeOperatorNode(node) && node.operator === ts.SyntaxKind.KeyOfKeyword)
  );
}
