// Copies the schemas of a document as JSON Schema 2020-12: what OpenAPI 2.0 and 3.0 say differently is said in its words, references become
// `#/$defs/…`, so recursive schemas stay what they are. Nothing is evaluated. Written here, per schema and on demand, since the upgrader
// that still runs on Node 20 (@scalar/openapi-upgrader 0.1) throws the whole document away when one part is odd, overflows on deep ones
// and loses items, enums and defaults of form parameters.
import { isObject, own, type Place, type Schema, textOf } from './document.ts';
import { lookUp, pointerTo, refOf, unresolved } from './references.ts';

/** Deeper parts accept anything; MCP clients and the limits for tool schemas end near there. */
const maxDepth = 24;
const maxTextLength = 2_000;
const maxEnumEntries = 1_000;
/** Of one parameter or body, definitions aside. YAML anchors can make a short text endlessly wide. */
const maxParts = 20_000;
const maxPartsInAll = 2_000_000;
const maxValueParts = 500;

const scalarKeywords = ['title', 'format', 'contentEncoding', 'contentMediaType', 'pattern'];
const numberKeywords = [
  'minimum',
  'maximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'minProperties',
  'maxProperties',
];
const flagKeywords = ['uniqueItems', 'readOnly', 'writeOnly', 'deprecated'];
const typeNames = new Set(['string', 'number', 'integer', 'boolean', 'array', 'object', 'null']);

export class Schemas {
  readonly definitions: Record<string, Schema> = {};
  readonly #root: unknown;
  readonly #note: (place: Place) => void;
  readonly #names = new Map<string, string>();
  readonly #taken = new Set<string>();
  readonly #pending: { name: string; value: unknown; pointer: string }[] = [];
  #parts = 0;
  #partsInAll = 0;

  constructor(root: unknown, note: (place: Place) => void) {
    this.#root = root;
    this.#note = note;
  }

  /** A copy of the schema. Definitions that it refers to are copied too, each once. */
  take(value: unknown, pointer: string): Schema {
    const schema = this.#copyWhole(value, pointer);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      this.definitions[next.name] = this.#copyWhole(next.value, next.pointer);
    }
    return schema;
  }

  #copyWhole(value: unknown, pointer: string): Schema {
    this.#parts = 0;
    const copy = this.#copy(value, pointer, 0);
    this.#partsInAll += this.#parts;
    if (this.#parts > maxParts)
      this.#note({ path: pointer, message: 'The schema is too large: parts of it accept anything' });
    return copy;
  }

  #nameOf(ref: string, pointer: string): string | undefined {
    const known = this.#names.get(ref);
    if (known !== undefined) return known;
    const found = lookUp(this.#root, ref);
    if (found === undefined) {
      this.#note({ path: pointer, message: unresolved(ref) });
      return undefined;
    }
    const base = (ref.split('/').pop() ?? '').replace(/%[0-9A-Fa-f]{2}|[^A-Za-z0-9._-]/g, '_') || 'schema';
    let name = base;
    for (let n = 2; this.#taken.has(name) || name === '__proto__'; n++) name = `${base}_${n}`;
    this.#taken.add(name);
    this.#names.set(ref, name);
    this.#pending.push({ name, ...found });
    return name;
  }

  #copy(value: unknown, pointer: string, depth: number): Schema {
    if (value === false) return { not: {} };
    if (!isObject(value) || depth > maxDepth || ++this.#parts > maxParts || this.#partsInAll > maxPartsInAll) return {};
    const ref = refOf(value);
    if (ref !== undefined) return this.#copyReference(value, ref, pointer);
    const copy: Schema = this.#copyOwnWords(value);
    const child = (keyword: string, ...more: (string | number)[]): Schema => {
      let at: unknown = own(value, keyword);
      for (const key of more) at = own(at, String(key));
      return this.#copy(at, pointerTo(pointer, keyword, ...more), depth + 1);
    };
    const properties = own(value, 'properties');
    if (isObject(properties)) {
      copy['properties'] = Object.fromEntries(Object.keys(properties).map((name) => [name, child('properties', name)]));
    }
    if (Array.isArray(value['items'])) copy['prefixItems'] = value['items'].map((_, index) => child('items', index));
    else if (value['items'] !== undefined) copy['items'] = child('items');
    for (const keyword of ['additionalProperties', 'not'] as const) {
      const part = own(value, keyword);
      if (keyword === 'additionalProperties' && typeof part === 'boolean') copy[keyword] = part && {};
      else if (isObject(part)) copy[keyword] = child(keyword);
    }
    for (const keyword of ['allOf', 'anyOf', 'oneOf', 'prefixItems']) {
      const parts = own(value, keyword);
      if (Array.isArray(parts) && parts.length > 0) copy[keyword] = parts.map((_, index) => child(keyword, index));
    }
    return isNullable(value) ? orNull(copy) : copy;
  }

  #copyReference(value: Record<string, unknown>, ref: string, pointer: string): Schema {
    const name = this.#nameOf(ref, pointer);
    const copy: Schema = name === undefined ? {} : { $ref: `#/$defs/${name}` };
    const description = textOf(own(value, 'description'));
    if (description !== '') copy['description'] = description.slice(0, maxTextLength);
    return isNullable(value) ? orNull(copy) : copy;
  }

  #copyOwnWords(value: Record<string, unknown>): Schema {
    const copy: Schema = {};
    const type = typeOf(value['type']);
    if (type !== undefined) copy['type'] = type;
    else if (value['type'] === 'file') Object.assign(copy, { type: 'string', format: 'binary' });
    const description = textOf(value['description']);
    if (description !== '') copy['description'] = description.slice(0, maxTextLength);
    for (const keyword of scalarKeywords) {
      const text = own(value, keyword);
      if (typeof text === 'string' && copy[keyword] === undefined) copy[keyword] = text;
    }
    for (const keyword of numberKeywords) if (Number.isFinite(own(value, keyword))) copy[keyword] = value[keyword];
    for (const keyword of flagKeywords) if (own(value, keyword) === true) copy[keyword] = true;
    for (const [keyword, limit] of [
      ['exclusiveMinimum', 'minimum'],
      ['exclusiveMaximum', 'maximum'],
    ] as const) {
      const bound = own(value, keyword);
      if (Number.isFinite(bound)) copy[keyword] = bound;
      else if (bound === true && copy[limit] !== undefined) {
        copy[keyword] = copy[limit];
        delete copy[limit];
      }
    }
    const required = own(value, 'required');
    if (Array.isArray(required)) {
      const names = [...new Set(required.filter((name): name is string => typeof name === 'string'))];
      if (names.length > 0) copy['required'] = names;
    }
    const allowed = own(value, 'enum');
    if (Array.isArray(allowed) && allowed.length > 0 && allowed.length <= maxEnumEntries) {
      if (isSmall(allowed, 2 * maxEnumEntries)) copy['enum'] = [...allowed];
    }
    for (const keyword of ['const', 'default'] as const) {
      if (Object.hasOwn(value, keyword) && isSmall(value[keyword])) copy[keyword] = value[keyword];
    }
    const examples = own(value, 'examples');
    const example = Array.isArray(examples) ? (examples[0] as unknown) : own(value, 'example');
    if (example !== undefined && isSmall(example)) copy['examples'] = [example];
    return copy;
  }
}

/** Whether a value of the document may be kept as it is. Walks at most the allowed number of parts. */
function isSmall(value: unknown, parts = maxValueParts): boolean {
  const waiting = [value];
  for (let seen = 0; seen < waiting.length; seen++) {
    if (seen >= parts) return false;
    const next = waiting[seen];
    if (typeof next === 'object' && next !== null) for (const child of Object.values(next)) waiting.push(child);
  }
  return true;
}

function typeOf(type: unknown): string | string[] | undefined {
  if (typeof type === 'string') return typeNames.has(type) ? type : undefined;
  if (!Array.isArray(type)) return undefined;
  const names = type.filter((name): name is string => typeof name === 'string' && typeNames.has(name));
  return names.length === 0 ? undefined : names;
}

const isNullable = (value: Record<string, unknown>): boolean =>
  own(value, 'nullable') === true || own(value, 'x-nullable') === true;

function orNull(schema: Schema): Schema {
  const { type } = schema;
  if (type === undefined) {
    return schema['$ref'] === undefined && schema['allOf'] === undefined && schema['enum'] === undefined
      ? schema
      : { anyOf: [schema, { type: 'null' }] };
  }
  const types = [type].flat() as string[];
  const copy: Schema = { ...schema, type: types.includes('null') ? types : [...types, 'null'] };
  const allowed = schema['enum'];
  if (Array.isArray(allowed) && !allowed.includes(null)) copy['enum'] = [...(allowed as unknown[]), null];
  return copy;
}
