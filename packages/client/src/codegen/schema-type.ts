// From a JSON Schema to a TypeScript type. What the type language cannot say, or what is too much of it, becomes `unknown`; what is written
// always compiles: references that would have no end are cut, and unions that would multiply are widened. Schemas are an upstream's: data.
import { docComment, literal, propertyName, typeName } from './source-text.ts';

type Schema = Record<string, unknown>;

/** Part of a type. `width`: members of the union that it may become, which intersections multiply. */
interface Written {
  text: string;
  width: number;
}

const maxDepth = 30;
/** Schemas that are looked at per tool: references may lead to the same one again and again. */
const maxSchemas = 3000;
const maxWidth = 200;
/** The width of a named type that is not finished. */
const openWidth = 50;

const unknown: Written = { text: 'unknown', width: 1 };
const never: Written = { text: 'never', width: 1 };

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const own = (schema: Schema, key: string): unknown => (Object.hasOwn(schema, key) ? schema[key] : undefined);
const listOf = (value: unknown): unknown[] | undefined => (Array.isArray(value) ? (value as unknown[]) : undefined);

/** A type that stands for itself in a list or with an operator. */
const grouped = (text: string): string => (/^[\w$.]+$|^"[^"\\]*"$|^\{[^{}]*\}$/.test(text) ? text : `(${text})`);

function union(parts: readonly Written[]): Written {
  const texts = [...new Set(parts.filter(({ text }) => text !== 'never').map(({ text }) => text))];
  if (texts.includes('unknown')) return unknown;
  const width = parts.reduce((sum, part) => sum + part.width, 0);
  if (texts.length === 0) return never;
  if (width > maxWidth) return unknown;
  return { text: texts.length === 1 ? (texts[0] ?? 'never') : texts.map(grouped).join(' | '), width };
}

function intersection(parts: readonly Written[]): Written {
  const texts = new Set<string>();
  let width = 1;
  for (const part of parts) {
    // Leaving one out only says less.
    if (part.text === 'unknown' || texts.has(part.text) || width * part.width > maxWidth) continue;
    if (part.text === 'never') return never;
    texts.add(part.text);
    width *= part.width;
  }
  if (texts.size === 0) return unknown;
  return { text: texts.size === 1 ? ([...texts][0] ?? 'unknown') : [...texts].map(grouped).join(' & '), width };
}

const simple: Readonly<Record<string, string>> = {
  string: 'string',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  null: 'null',
};
const objectKeywords = ['properties', 'required', 'additionalProperties', 'patternProperties'];
const arrayKeywords = ['items', 'prefixItems'];

/** The types of one tool's schema. `aliases` are shared by all tools, so that their names differ. */
export class SchemaTypes {
  readonly #root: unknown;
  readonly #aliases: string[];
  readonly #comments: boolean;
  /** By reference: the name, and the types that it is directly made of. A cycle of those would have no end. */
  readonly #named = new Map<string, { name: string; direct: Set<string>; width: number }>();
  #left = maxSchemas;

  constructor(root: unknown, aliases: string[], options: { comments: boolean }) {
    this.#root = root;
    this.#aliases = aliases;
    this.#comments = options.comments;
  }

  /** The type of the whole schema. */
  write(indent: string): string {
    return this.#type(this.#root, { indent, depth: 0, within: undefined }).text;
  }

  #type(schema: unknown, at: Place): Written {
    if (schema === false) return never;
    if (!isSchema(schema) || at.depth > maxDepth || this.#left-- <= 0) return unknown;
    const reference = own(schema, '$ref');
    const parts: Written[] = [];
    if (typeof reference === 'string') parts.push(this.#reference(reference, at));
    parts.push(this.#plain(schema, at));
    for (const part of listOf(own(schema, 'allOf')) ?? []) parts.push(this.#type(part, deeper(at)));
    for (const keyword of ['anyOf', 'oneOf']) {
      const choices = listOf(own(schema, keyword));
      if (choices && choices.length > 0 && choices.length <= maxWidth)
        parts.push(union(choices.map((choice) => this.#type(choice, deeper(at)))));
    }
    const type = intersection(parts);
    return own(schema, 'nullable') === true ? union([type, { text: 'null', width: 1 }]) : type;
  }

  /** What `const`, `enum` and `type` say, with the keywords that belong to the type. */
  #plain(schema: Schema, at: Place): Written {
    if (Object.hasOwn(schema, 'const')) return { text: this.#value(schema['const'], 0), width: 1 };
    const values = listOf(own(schema, 'enum'));
    if (values) {
      if (values.length <= maxWidth) return union(values.map((value) => ({ text: this.#value(value, 0), width: 1 })));
    }
    const type = own(schema, 'type');
    const types = typeof type === 'string' ? [type] : (listOf(type) ?? guessed(schema));
    if (types === undefined) return unknown;
    return union(types.slice(0, 10).map((name) => this.#ofType(name, schema, at)));
  }

  #ofType(name: unknown, schema: Schema, at: Place): Written {
    if (name === 'object') return { text: this.#object(schema, at), width: 1 };
    if (name === 'array') return { text: this.#array(schema, at), width: 1 };
    const text = typeof name === 'string' && Object.hasOwn(simple, name) ? simple[name] : undefined;
    return text === undefined ? unknown : { text, width: name === 'boolean' ? 2 : 1 };
  }

  #object(schema: Schema, at: Place): string {
    const properties = own(schema, 'properties');
    const required = new Set(listOf(own(schema, 'required'))?.filter((name) => typeof name === 'string'));
    const fields = new Map<string, unknown>(isSchema(properties) ? Object.entries(properties) : []);
    for (const name of required) if (!fields.has(name)) fields.set(name, true);
    const inner = nested(at);
    const { indent } = inner;
    const lines = [...fields].map(([name, field]) => {
      const comment = this.#comments && isSchema(field) ? docComment(own(field, 'description'), indent) : '';
      return `${comment}${indent}${propertyName(name)}${required.has(name) ? '' : '?'}: ${this.#type(field, inner).text};\n`;
    });
    const rest = this.#rest(schema, fields.size > 0, inner);
    if (rest !== undefined) lines.push(`${indent}[key: string]: ${rest};\n`);
    return `{\n${lines.join('')}${at.indent}}`;
  }

  /** Of properties that are not named. Beside named ones it must fit those, so it says nothing. */
  #rest(schema: Schema, hasFields: boolean, inner: Place): string | undefined {
    const additional = own(schema, 'additionalProperties');
    const patterns = own(schema, 'patternProperties');
    const hasPatterns = isSchema(patterns) && Object.keys(patterns).length > 0;
    if (hasPatterns) return 'unknown';
    if (additional === false) return hasFields ? undefined : 'never';
    if (additional === undefined) return hasFields ? undefined : 'unknown';
    return hasFields ? 'unknown' : this.#type(additional, inner).text;
  }

  #array(schema: Schema, at: Place): string {
    const inner = { ...nested(at), indent: at.indent };
    const items = own(schema, 'items');
    const leading = listOf(own(schema, 'prefixItems')) ?? listOf(items);
    if (leading === undefined || leading.length === 0 || leading.length > 20) {
      return `${grouped(Array.isArray(items) ? 'unknown' : this.#type(items ?? true, inner).text)}[]`;
    }
    const least = own(schema, 'minItems');
    const after = Array.isArray(items) ? own(schema, 'additionalItems') : items;
    const members = leading.map((member, index) => {
      const text = grouped(this.#type(member, inner).text);
      return typeof least === 'number' && index < least ? text : `${text}?`;
    });
    if (after !== false) members.push(`...${grouped(this.#type(after ?? true, inner).text)}[]`);
    return `[${members.join(', ')}]`;
  }

  /** A JSON value as a type. */
  #value(value: unknown, depth: number): string {
    if (typeof value === 'string') return literal(value);
    if (typeof value === 'boolean' || value === null) return String(value);
    if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'number';
    if (typeof value !== 'object' || depth > 5 || this.#left-- <= 0) return 'unknown';
    if (Array.isArray(value)) return `[${value.map((entry) => this.#value(entry, depth + 1)).join(', ')}]`;
    const fields = Object.entries(value).map(
      ([key, entry]) => `${propertyName(key)}: ${this.#value(entry, depth + 1)}`,
    );
    return `{ ${fields.join('; ')} }`;
  }

  #reference(reference: string, at: Place): Written {
    const known = this.#named.get(reference);
    if (known) return this.#use(reference, known, at);
    const target = resolve(this.#root, reference);
    if (target === undefined) return unknown;
    const number = this.#aliases.length;
    const made = {
      name: typeName(reference.split('/').at(-1) ?? '', number),
      direct: new Set<string>(),
      width: openWidth,
    };
    this.#aliases.push('');
    this.#named.set(reference, made);
    const { text, width } = this.#type(target, { indent: '', depth: at.depth + 1, within: reference });
    this.#aliases[number] = `type ${made.name} = ${text};\n`;
    made.width = width;
    return this.#use(reference, made, at);
  }

  #use(reference: string, named: { name: string; width: number }, at: Place): Written {
    if (at.within !== undefined) {
      if (this.#leadsTo(reference, at.within)) return unknown;
      this.#named.get(at.within)?.direct.add(reference);
    }
    return { text: named.name, width: named.width };
  }

  #leadsTo(from: string, to: string, seen = new Set<string>()): boolean {
    if (from === to) return true;
    if (seen.has(from)) return false;
    seen.add(from);
    return [...(this.#named.get(from)?.direct ?? [])].some((next) => this.#leadsTo(next, to, seen));
  }
}

interface Place {
  indent: string;
  depth: number;
  /** The reference whose type is directly made of this; absent inside of an object or a list. */
  within: string | undefined;
}

const deeper = (at: Place): Place => ({ ...at, depth: at.depth + 1 });
const nested = (at: Place): Place => ({ indent: `${at.indent}  `, depth: at.depth + 1, within: undefined });

/** Many schemas leave out what their keywords say. */
function guessed(schema: Schema): string[] | undefined {
  if (objectKeywords.some((keyword) => Object.hasOwn(schema, keyword))) return ['object'];
  return arrayKeywords.some((keyword) => Object.hasOwn(schema, keyword)) ? ['array'] : undefined;
}

/** What a JSON pointer of this document names. References to other documents are not followed. */
function resolve(root: unknown, reference: string): unknown {
  if (reference !== '#' && !reference.startsWith('#/')) return undefined;
  let found = root;
  for (const part of reference.split('/').slice(1)) {
    const key = decode(part)?.replaceAll('~1', '/').replaceAll('~0', '~');
    if (key === undefined || typeof found !== 'object' || found === null || !Object.hasOwn(found, key))
      return undefined;
    found = (found as Schema)[key];
  }
  return found;
}

function decode(part: string): string | undefined {
  try {
    return decodeURIComponent(part);
  } catch {
    // The only URIError there is: no percent-encoding, so nothing of this document.
    return undefined;
  }
}
