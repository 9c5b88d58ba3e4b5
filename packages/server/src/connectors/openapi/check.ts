// Checks a value against a schema of the document: presence, types, allowed values and bounds, everything wrong at once. Its messages name
// places, never values. Written here because validators compile schemas to code and run `pattern`, and a document is not trusted with either.
import { type CompiledDocument, isObject, type Schema } from './document.ts';
import { scalarText } from './serialize.ts';
import { follow, isFile, partsOf } from './shape.ts';

export interface Issue {
  path: string;
  message: string;
}

const maxIssues = 20;
const maxDepth = 48;

/** All that is wrong with the arguments of a call. */
export class InvalidParameters extends Error {
  override readonly name = 'InvalidParameters';
  readonly issues: readonly Issue[];
  constructor(issues: readonly Issue[]) {
    const told = issues.slice(0, maxIssues);
    const more = issues.length > told.length ? `; and ${issues.length - told.length} more` : '';
    super(`Invalid parameters: ${told.map(({ path, message }) => `${path} ${message}`).join('; ')}${more}`);
    this.issues = told;
  }
}

export interface CheckOptions {
  compiled: Pick<CompiledDocument, 'definitions'>;
  /** How the value travels: as JSON; as a parameter's text, where "5" is a number too; as a form field, whose text may be JSON. */
  as: 'json' | 'parameter' | 'field';
}

export function check(value: unknown, schema: Schema, path: string, options: CheckOptions): Issue[] {
  const issues: Issue[] = [];
  visit(value, schema, path, options, issues, 0);
  return issues;
}

function visit(
  value: unknown,
  source: Schema,
  path: string,
  options: CheckOptions,
  issues: Issue[],
  depth: number,
): void {
  // Vendors rarely say which of their fields may be null, and null means "clear it" at most of them.
  if (value === undefined || value === null || depth > maxDepth || issues.length > 200) return;
  const schema = follow(options.compiled, source);
  if (isFile(schema)) return;
  const say = (message: string): void => void issues.push({ path, message });
  const types = schema['type'] === undefined ? [] : ([schema['type']].flat() as string[]);
  if (types.length > 0 && !types.some((type) => isOfType(value, type, options.as))) {
    const named = types.filter((type) => type !== 'null').map(withArticle);
    say(`must be ${named.join(' or ')}`);
    return;
  }
  const allowed = schema['enum'] ?? (Object.hasOwn(schema, 'const') ? [schema['const']] : undefined);
  if (Array.isArray(allowed) && !allowed.some((entry) => isSame(entry, value, options.as))) {
    const scalars = allowed.filter((entry) => typeof entry !== 'object');
    say(`must be ${scalars.length <= 12 ? `one of ${scalars.join(', ')}` : 'one of the allowed values'}`);
    return;
  }
  checkBounds(value, schema, say);
  for (const part of partsOf(schema, 'allOf')) visit(value, part, path, options, issues, depth + 1);
  for (const keyword of ['anyOf', 'oneOf']) {
    const parts = partsOf(schema, keyword);
    if (parts.length === 0) continue;
    const outcomes = parts.map((part) => {
      const found: Issue[] = [];
      visit(value, part, path, options, found, depth + 1);
      return found;
    });
    if (outcomes.some((found) => found.length === 0)) continue;
    if (outcomes.length === 1) issues.push(...(outcomes[0] ?? []));
    else issues.push({ path: path === '' ? 'the body' : path, message: 'has none of the allowed forms' });
  }
  if (Array.isArray(value)) {
    const { items } = schema;
    const first = partsOf(schema, 'prefixItems');
    for (const [index, entry] of value.entries()) {
      const part = first[index] ?? items;
      if (isObject(part)) visit(entry, part, `${path}[${index}]`, options, issues, depth + 1);
    }
  } else if (isObject(value)) {
    checkMembers(value, schema, path, options, issues, depth);
  }
}

function checkMembers(
  value: Record<string, unknown>,
  schema: Schema,
  path: string,
  options: CheckOptions,
  issues: Issue[],
  depth: number,
): void {
  const properties = isObject(schema['properties']) ? (schema['properties'] as Record<string, Schema>) : {};
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  for (const name of (schema['required'] ?? []) as string[]) {
    if (Object.hasOwn(value, name) && value[name] !== undefined) continue;
    const part = Object.hasOwn(properties, name) ? follow(options.compiled, properties[name] as Schema) : {};
    if (part['readOnly'] !== true) issues.push({ path: at(name), message: 'is required' });
  }
  for (const [name, entry] of Object.entries(value)) {
    if (Object.hasOwn(properties, name)) visit(entry, properties[name] as Schema, at(name), options, issues, depth + 1);
    else if (schema['additionalProperties'] === false) issues.push({ path: at(name), message: 'is not known' });
    else if (isObject(schema['additionalProperties'])) {
      visit(entry, schema['additionalProperties'], at(name), options, issues, depth + 1);
    }
  }
}

const withArticle = (type: string): string => (/^[aio]/.test(type) ? `an ${type}` : `a ${type}`);
const isNumeric = (value: unknown): boolean =>
  typeof value === 'string' && /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value.trim());

function isOfType(value: unknown, type: string, as: CheckOptions['as']): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string' || as === 'field' || (as === 'parameter' && typeof value !== 'object');
    case 'number':
      return (typeof value === 'number' && Number.isFinite(value)) || (as !== 'json' && isNumeric(value));
    case 'integer':
      return Number.isInteger(value) || (as !== 'json' && isNumeric(value) && Number.isInteger(Number(value)));
    case 'boolean':
      return typeof value === 'boolean' || (as !== 'json' && (value === 'true' || value === 'false'));
    case 'array':
      // A single value is a list of one; a text may be the list as the upstream wants it.
      return Array.isArray(value) || (as !== 'json' && !isObject(value));
    case 'object':
      return isObject(value);
    default:
      return value === null;
  }
}

function isSame(entry: unknown, value: unknown, as: CheckOptions['as']): boolean {
  if (entry === value) return true;
  if (typeof entry === 'object' || typeof value === 'object') return JSON.stringify(entry) === JSON.stringify(value);
  return as !== 'json' && scalarText(entry) === scalarText(value);
}

function checkBounds(value: unknown, schema: Schema, say: (message: string) => void): void {
  const bound = (keyword: string): number | undefined =>
    typeof schema[keyword] === 'number' ? schema[keyword] : undefined;
  if (typeof value === 'number') {
    const [least, most] = [bound('minimum'), bound('maximum')];
    const [above, below] = [bound('exclusiveMinimum'), bound('exclusiveMaximum')];
    if (least !== undefined && value < least) say(`must be at least ${least}`);
    if (most !== undefined && value > most) say(`must be at most ${most}`);
    if (above !== undefined && value <= above) say(`must be more than ${above}`);
    if (below !== undefined && value >= below) say(`must be less than ${below}`);
  } else if (typeof value === 'string') {
    const [least, most] = [bound('minLength'), bound('maxLength')];
    const length = least === undefined && most === undefined ? 0 : Array.from(value).length;
    if (least !== undefined && length < least) say(`must have at least ${least} characters`);
    if (most !== undefined && length > most) say(`must have at most ${most} characters`);
  } else if (Array.isArray(value)) {
    const [least, most] = [bound('minItems'), bound('maxItems')];
    if (least !== undefined && value.length < least) say(`must have at least ${least} entries`);
    if (most !== undefined && value.length > most) say(`must have at most ${most} entries`);
  }
}
