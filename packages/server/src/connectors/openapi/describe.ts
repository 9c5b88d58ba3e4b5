// Shows operations as MCP tools: one flat input schema per operation, self-contained, small enough for clients. What is cut from a large
// schema accepts anything, so that no valid call is lost.
import { type CompiledDocument, isObject, type Operation, type Schema } from './document.ts';
import { isFile, type Slot, shapeOf } from './shape.ts';

export type ActionItem = Record<string, unknown> & { name: string; inputSchema: Schema };

/** Below the limits for tool schemas of upstreams (2,000 parts, 32 deep). */
const maxParts = 1_800;
const maxSchemaDepth = 28;
/** Definitions are added while the whole stays below: a model gains nothing from the tenth level of somebody's data model. */
const maxPartsWithDefinitions = 600;
const maxDefinitionText = 300;
/** Key of `_meta` that says to which resource of the API an action belongs. */
export const groupKey = 'mcp-valet/group';

const items = new WeakMap<CompiledDocument, ActionItem[]>();

export function actionItems(compiled: CompiledDocument): ActionItem[] {
  let known = items.get(compiled);
  if (known === undefined) {
    known = compiled.operations.map((operation) => actionItem(compiled, operation));
    items.set(compiled, known);
  }
  return known;
}

export function actionItem(compiled: CompiledDocument, operation: Operation): ActionItem {
  const { method, summary, description, deprecated, tag } = operation;
  const text = description || summary || `${method} ${operation.path}`;
  let inputSchema: Schema | undefined;
  return {
    name: operation.id,
    ...(summary !== '' && { title: summary }),
    description: deprecated ? `Deprecated. ${text}` : text,
    // Made when somebody looks: of thousands of operations a model asks for a few.
    get inputSchema() {
      inputSchema ??= inputSchemaOf(compiled, operation);
      return inputSchema;
    },
    annotations: {
      readOnlyHint: method === 'GET' || method === 'HEAD',
      destructiveHint: method === 'DELETE',
      idempotentHint: method !== 'POST' && method !== 'PATCH',
      openWorldHint: true,
    },
    ...(tag !== '' && { _meta: { [groupKey]: tag } }),
  };
}

function inputSchemaOf(compiled: CompiledDocument, operation: Operation): Schema {
  const { slots, flat } = shapeOf(compiled, operation);
  const isForm = operation.body?.media[0]?.kind !== 'json';
  const properties = Object.fromEntries([...slots].map(([key, slot]) => [key, shown(slot, isForm)]));
  const required = [...slots].filter(([, slot]) => slot.required).map(([key]) => key);
  const schema: Schema = {
    type: 'object',
    properties,
    ...(required.length > 0 && { required }),
    ...(flat?.isOpen !== true && { additionalProperties: false }),
  };
  for (let depth = maxSchemaDepth; depth >= 4; depth -= 4) {
    const whole = cut(schema, depth) as Schema;
    const parts = partsIn(whole);
    if (parts <= maxParts) return withDefinitions(compiled, whole, parts);
  }
  // Hundreds of arguments: their names and what they are for.
  return cut(schema, 3) as Schema;
}

function shown({ schema, place }: Slot, isForm: boolean): Schema {
  if (!isForm || (place !== 'property' && place !== 'body') || !isFile(schema)) return schema;
  const file = {
    type: 'object',
    properties: { base64: { type: 'string' }, filename: { type: 'string' }, contentType: { type: 'string' } },
    required: ['base64'],
  };
  const description = typeof schema['description'] === 'string' ? { description: schema['description'] } : {};
  return { ...description, anyOf: [{ type: 'string', description: 'The content, as text' }, file] };
}

interface Definition {
  schema: Schema;
  parts: number;
  refs: ReadonlySet<string>;
}

const definitions = new WeakMap<CompiledDocument, Map<string, Definition>>();

function definitionNamed(compiled: CompiledDocument, name: string): Definition | undefined {
  let known = definitions.get(compiled);
  if (known === undefined) {
    known = new Map();
    definitions.set(compiled, known);
  }
  let found = known.get(name);
  if (found === undefined && Object.hasOwn(compiled.definitions, name)) {
    const schema = brief(cut(compiled.definitions[name], maxSchemaDepth - 2)) as Schema;
    found = { schema, parts: partsIn(schema), refs: refsIn(schema) };
    known.set(name, found);
  }
  return found;
}

/** With the definitions that are reached, as long as they fit; references to others accept anything. */
function withDefinitions(compiled: CompiledDocument, schema: Schema, parts: number): Schema {
  const waiting = refsIn(schema);
  if (waiting.size === 0) return schema;
  const chosen = new Map<string, Definition>();
  let sum = parts;
  for (const name of waiting) {
    const definition = definitionNamed(compiled, name);
    if (definition === undefined || sum + definition.parts > maxPartsWithDefinitions) continue;
    sum += definition.parts;
    chosen.set(name, definition);
    for (const next of definition.refs) waiting.add(next);
  }
  const names: ReadonlySet<string> = new Set(chosen.keys());
  const pruned = prune(schema, names) as Schema;
  if (chosen.size === 0) return pruned;
  const entries = [...chosen].map(([name, { schema: one, refs }]): [string, unknown] => {
    const isWhole = [...refs].every((ref) => names.has(ref));
    return [name, isWhole ? one : prune(one, names)];
  });
  return { ...pruned, $defs: Object.fromEntries(entries) };
}

const definitionOf = (ref: unknown): string | undefined =>
  typeof ref === 'string' && ref.startsWith('#/$defs/') ? ref.slice('#/$defs/'.length) : undefined;

function refsIn(value: unknown, found = new Set<string>()): Set<string> {
  if (typeof value !== 'object' || value === null) return found;
  const name = definitionOf((value as Schema)['$ref']);
  if (name !== undefined) found.add(name);
  for (const child of Object.values(value)) refsIn(child, found);
  return found;
}

/** Definitions are read beside their own names and properties: long texts stay with the arguments. */
function brief(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(brief);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).map(([key, entry]): [string, unknown] => [
    key,
    key === 'description' && typeof entry === 'string' ? entry.slice(0, maxDefinitionText) : brief(entry),
  ]);
  return Object.fromEntries(entries);
}

/** Without references to what was not chosen. */
function prune(value: unknown, chosen: ReadonlySet<string>): unknown {
  if (Array.isArray(value)) return value.map((entry) => prune(entry, chosen));
  if (!isObject(value)) return value;
  const name = definitionOf(value['$ref']);
  const entries = Object.entries(value).filter(([key]) => key !== '$ref' || name === undefined || chosen.has(name));
  return Object.fromEntries(entries.map(([key, entry]) => [key, prune(entry, chosen)]));
}

function partsIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return Object.values(value).reduce<number>((sum, child) => sum + partsIn(child), 1);
}

/** Without what lies deeper; of a schema that is cut off only its words stay. */
function cut(value: unknown, depth: number): unknown {
  if (Array.isArray(value)) return depth <= 0 ? [] : value.map((entry) => cut(entry, depth - 1));
  if (!isObject(value)) return value;
  if (depth > 1) return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, cut(entry, depth - 1)]));
  const { type, title, description } = value;
  return {
    ...(typeof type === 'string' && { type }),
    ...(typeof title === 'string' && { title }),
    ...(typeof description === 'string' && { description }),
  };
}
