// Writes a type out as the plain text of a declaration: what TypeScript has inferred through schemas and mapped types, as object types with their
// doc comments. Types that have a name of their own keep it.
import ts from 'typescript';

/** What the printer has to know about the file that the text is for. */
export interface Names {
  /** Whether a symbol is declared in that file and still will be. */
  isKept(symbol: ts.Symbol): boolean;
  /** Told each name of that file that the text uses. */
  use(name: string): void;
}

/** The type has no plain form: it is a library's own, or waits for a type argument. */
class NotPlainError extends Error {}

export class TypePrinter {
  readonly #checker: ts.TypeChecker;
  readonly #names: Names;
  /** Written-out form of a named type -> its name: an inferred type that equals a named one is shown by that name. */
  readonly #named = new Map<string, string>();

  constructor(checker: ts.TypeChecker, names: Names) {
    this.#checker = checker;
    this.#names = names;
  }

  isPlain(type: ts.Type, self: string): boolean {
    try {
      this.print(type, self);
      return true;
    } catch (error) {
      if (error instanceof NotPlainError) return false;
      throw error;
    }
  }

  /** Remembers a plain type's name, so that equal types are printed by it. */
  remember(name: string, type: ts.Type): void {
    const text = this.print(type, name);
    if (text.startsWith('{')) this.#named.set(text, name);
  }

  /** `self`: the alias that is being written out, which must not be printed as itself. */
  print(type: ts.Type, self?: string): string {
    const { aliasSymbol, aliasTypeArguments } = type;
    if (aliasSymbol && aliasSymbol.name !== self) {
      const isRecord = aliasSymbol.name === 'Record' && aliasTypeArguments;
      if (isRecord || this.#names.isKept(aliasSymbol))
        return this.#nameOf(aliasSymbol) + this.#arguments(aliasTypeArguments);
    }
    if (type.flags & ts.TypeFlags.TypeParameter) return type.symbol.name;
    if (type.flags & ts.TypeFlags.Boolean) return 'boolean';
    if (type.isUnion()) return this.#union(type.types);
    if (type.isIntersection() && !type.types.every((part) => part.flags & ts.TypeFlags.Object)) {
      return type.types.map((part) => this.print(part)).join(' & ');
    }
    if (type.isIntersection()) return this.#object(type, self);
    if (type.flags & ts.TypeFlags.Object) return this.#reference(type as ts.ObjectType, self);
    if (type.flags & ts.TypeFlags.Instantiable & ~ts.TypeFlags.TemplateLiteral) {
      throw new NotPlainError(
        `Cannot write out \`${this.#checker.typeToString(type)}\`: it depends on a type parameter`,
      );
    }
    return this.#checker.typeToString(type, undefined, ts.TypeFormatFlags.NoTruncation);
  }

  #nameOf(symbol: ts.Symbol): string {
    this.#names.use(symbol.name);
    return symbol.name;
  }

  #union(types: readonly ts.Type[]): string {
    const has = (flags: ts.TypeFlags) => (type: ts.Type) => (type.flags & flags) !== 0;
    const isBoolean = has(ts.TypeFlags.BooleanLiteral);
    // TypeScript keeps undefined and null first; people read them last.
    const isNull = has(ts.TypeFlags.Null);
    const isUndefined = has(ts.TypeFlags.Undefined);
    const booleans = types.filter(isBoolean);
    const parts = [
      ...types
        .filter((type) => !isBoolean(type) && !isNull(type) && !isUndefined(type))
        .map((type) => this.#part(type)),
      ...(booleans.length === 2 ? ['boolean'] : booleans.map((type) => this.print(type))),
      ...types.filter(isNull).map((type) => this.print(type)),
      ...types.filter(isUndefined).map((type) => this.print(type)),
    ];
    return [...new Set(parts)].join(' | ');
  }

  /** The type of something that may be absent: `?` says so already. An `undefined` that was asked for is `kept`. */
  #optional(type: ts.Type, kept?: ts.Type): string {
    if (!type.isUnion()) return this.print(type);
    return this.#union(type.types.filter((part) => part === kept || (part.flags & ts.TypeFlags.Undefined) === 0));
  }

  /** Text that can stand in a union or before `[]`. */
  #part(type: ts.Type): string {
    const text = this.print(type);
    return isCompound(text) ? `(${text})` : text;
  }

  #arguments(types: readonly ts.Type[] | undefined): string {
    return types && types.length > 0 ? `<${types.map((type) => this.print(type)).join(', ')}>` : '';
  }

  #reference(type: ts.ObjectType, self?: string): string {
    const checker = this.#checker;
    if (checker.isTupleType(type)) return this.#tuple(type as ts.TupleTypeReference);
    const reference = type as ts.TypeReference;
    const [first] = checker.isArrayType(type) ? checker.getTypeArguments(reference) : [];
    if (first) return `${type.symbol.name === 'ReadonlyArray' ? 'readonly ' : ''}${this.#part(first)}[]`;
    const symbol = type.getSymbol();
    if (!symbol || !(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))) return this.#object(type, self);
    if (symbol.declarations?.some((node) => /\/node_modules\/(zod|ky)\//.test(node.getSourceFile().fileName))) {
      throw new NotPlainError(`${symbol.name} of an inlined library would be public`);
    }
    const parameters = (reference.target as ts.InterfaceType | undefined)?.typeParameters?.length ?? 0;
    return (
      this.#nameOf(symbol) +
      (parameters > 0 ? this.#arguments(checker.getTypeArguments(reference).slice(0, parameters)) : '')
    );
  }

  #tuple(type: ts.TupleTypeReference): string {
    const { elementFlags, readonly } = type.target;
    const parts = this.#checker.getTypeArguments(type).map((element, i) => {
      const flags = elementFlags[i] ?? ts.ElementFlags.Required;
      if (flags & ts.ElementFlags.Rest) return `...${this.#part(element)}[]`;
      return flags & ts.ElementFlags.Optional ? `${this.#part(element)}?` : this.print(element);
    });
    return `${readonly ? 'readonly ' : ''}[${parts.join(', ')}]`;
  }

  #object(type: ts.Type, self?: string): string {
    const calls = type.getCallSignatures();
    const properties = this.#checker.getPropertiesOfType(type);
    const indexes = this.#checker.getIndexInfosOfType(type);
    const [call] = calls;
    if (call && calls.length === 1 && properties.length === 0 && indexes.length === 0)
      return this.#signature(call, ' => ');
    const members = [
      ...calls.map((signature) => `${this.#signature(signature, ': ')};`),
      ...indexes.map(
        (info) => `${info.isReadonly ? 'readonly ' : ''}[key: ${this.print(info.keyType)}]: ${this.print(info.type)};`,
      ),
      ...properties.map((property) => this.#property(property)),
    ];
    if (members.length === 0) return '{}';
    const text = `{\n${members.join('\n').replace(/^/gm, '    ')}\n}`;
    const name = this.#named.get(text);
    if (name === undefined || name === self) return text;
    this.#names.use(name);
    return name;
  }

  #property(property: ts.Symbol): string {
    const type = this.#checker.getTypeOfSymbol(property);
    const doc = documentation(property, this.#checker);
    const optional = property.flags & ts.SymbolFlags.Optional ? '?' : '';
    if (property.flags & ts.SymbolFlags.Method && !optional) {
      const signatures = type
        .getCallSignatures()
        .map((signature) => `${keyOf(property)}${this.#signature(signature, ': ')};`);
      return doc + signatures.join('\n');
    }
    return `${doc}${isReadonly(property) ? 'readonly ' : ''}${keyOf(property)}${optional}: ${optional ? this.#optional(type, this.#checker.getUndefinedType()) : this.print(type)};`;
  }

  #signature(signature: ts.Signature, arrow: string): string {
    const generics = signature.typeParameters?.map((parameter) => {
      const constraint = parameter.getConstraint();
      const fallback = parameter.getDefault();
      return `${parameter.symbol.name}${constraint ? ` extends ${this.print(constraint)}` : ''}${fallback ? ` = ${this.print(fallback)}` : ''}`;
    });
    const parameters = signature.parameters.map((parameter) => {
      const node = parameter.valueDeclaration;
      const declared = node && ts.isParameter(node) ? node : undefined;
      const optional = declared?.questionToken || declared?.initializer ? '?' : '';
      const type = this.#checker.getTypeOfSymbol(parameter);
      const rest = declared?.dotDotDotToken ? '...' : '';
      return `${rest}${parameter.name}${optional}: ${optional ? this.#optional(type) : this.print(type)}`;
    });
    return `${generics ? `<${generics.join(', ')}>` : ''}(${parameters.join(', ')})${arrow}${this.print(signature.getReturnType())}`;
  }
}

/** Whether a text has `|`, `&` or `=>` outside brackets, or begins with an operator. */
function isCompound(text: string): boolean {
  if (/^(readonly|keyof) /.test(text)) return true;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? '';
    if (char === '=' && text[i + 1] === '>') {
      if (depth === 0) return true;
      i++;
    } else if ('([{<'.includes(char)) depth++;
    else if (')]}>'.includes(char)) depth--;
    else if (depth === 0 && (char === '|' || char === '&')) return true;
  }
  return false;
}

function isReadonly(property: ts.Symbol): boolean {
  // A property that a mapped type makes readonly has no declaration that says so; the checker's flag does.
  const readonlyCheckFlag = 8;
  const { checkFlags = 0 } = (property as { links?: { checkFlags?: number } }).links ?? {};
  const isDeclared = property.declarations?.some(
    (node) => ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Readonly,
  );
  return (checkFlags & readonlyCheckFlag) !== 0 || isDeclared === true;
}

function keyOf(property: ts.Symbol): string {
  const wellKnown = /^__@(\w+)@\d+$/.exec(String(property.escapedName));
  if (wellKnown) return `[Symbol.${wellKnown[1]}]`;
  return /^[A-Za-z_$][\w$]*$/.test(property.name) ? property.name : JSON.stringify(property.name);
}

function documentation(property: ts.Symbol, checker: ts.TypeChecker): string {
  const text = ts.displayPartsToString(property.getDocumentationComment(checker));
  const tags = property.getJsDocTags(checker).map((tag) => `@${tag.name} ${ts.displayPartsToString(tag.text)}`.trim());
  const lines = [...(text ? text.split('\n') : []), ...tags];
  if (lines.length === 0) return '';
  return lines.length === 1
    ? `/** ${lines[0]} */\n`
    : `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join('\n')}\n */\n`;
}
