// Which arguments an operation takes in the flat form: every parameter and every property of an object body under one name. Decided once
// per operation, the same for whoever describes it and whoever calls it. Parameters that carry a credential are not arguments.
import {
  type BodyMedia,
  type CompiledDocument,
  isObject,
  type Operation,
  type Parameter,
  type Schema,
} from './document.ts';

export interface Slot {
  place: Parameter['in'] | 'property' | 'body';
  name: string;
  required: boolean;
  schema: Schema;
  parameter?: Parameter;
}

export interface FlatBody {
  properties: Record<string, Schema>;
  required: string[];
  /** Takes properties that it does not name. */
  isOpen: boolean;
}

export interface Shape {
  slots: ReadonlyMap<string, Slot>;
  /** The properties of an object body; null where the body is one argument, or there is none. */
  flat: FlatBody | null;
  /** Places of parameters that the gateway fills or leaves out, as `in name`. */
  withheld: ReadonlySet<string>;
}

const shapes = new WeakMap<Operation, Shape>();

export function shapeOf(compiled: CompiledDocument, operation: Operation): Shape {
  const known = shapes.get(operation);
  if (known !== undefined) return known;
  const shape = makeShape(compiled, operation);
  shapes.set(operation, shape);
  return shape;
}

function makeShape(compiled: CompiledDocument, operation: Operation): Shape {
  const slots = new Map<string, Slot>();
  const withheld = new Set<string>();
  for (const scheme of Object.values(compiled.securitySchemes)) {
    if (scheme.kind === 'apiKey') withheld.add(placeKey(scheme.in, scheme.name));
  }
  const isTokenParameter = (place: string, name: string, description: unknown): boolean =>
    place !== 'path' && needsToken(compiled, operation) && carriesToken(name, description);
  const media = operation.body?.media[0];
  const flat = media === undefined ? null : flatBody(compiled, media);
  if (flat !== null) {
    for (const [name, schema] of Object.entries(flat.properties)) {
      if (media?.kind !== 'json' && isTokenParameter('form', name, schema['description'])) {
        withheld.add(placeKey('property', name));
      } else if (schema['readOnly'] !== true) {
        slots.set(name, { place: 'property', name, required: flat.required.includes(name), schema });
      }
    }
  } else if (media !== undefined && operation.body !== null) {
    const schema =
      operation.body.description === '' ? media.schema : { description: operation.body.description, ...media.schema };
    slots.set('body', { place: 'body', name: 'body', required: operation.body.required, schema });
  }
  const names = operation.parameters.map(({ name }) => name);
  for (const parameter of operation.parameters) {
    const { name, in: place, required } = parameter;
    if (withheld.has(placeKey(place, name))) continue;
    if (isTokenParameter(place, name, parameter.description)) {
      withheld.add(placeKey(place, name));
      continue;
    }
    const isTaken = slots.has(name) || names.indexOf(name) !== names.lastIndexOf(name);
    const description = parameter.description;
    const schema = description === '' ? parameter.schema : { ...parameter.schema, description };
    slots.set(isTaken ? `${name}__${place}` : name, { place, name, required, schema, parameter });
  }
  return { slots, flat, withheld };
}

/** Header names are compared without case. */
export const placeKey = (place: string, name: string): string =>
  `${place} ${place === 'header' ? name.toLowerCase() : name}`;

const needsToken = ({ securitySchemes }: CompiledDocument, { security }: Operation): boolean =>
  security.flat().some((name) => {
    const scheme = Object.hasOwn(securitySchemes, name) ? securitySchemes[name] : undefined;
    return scheme?.kind === 'oauth2' || scheme?.kind === 'bearer' || scheme?.kind === 'openIdConnect';
  });

/**
 * Some vendors describe beside their security scheme the same token as a required parameter of every operation (Slack's `token`). It is
 * the scheme's: no caller may be asked for it, and it travels once. Both the name and its description must say so.
 */
const carriesToken = (name: string, description: unknown): boolean =>
  /^(access_?|auth_?|oauth_?|bearer_?)?token$/i.test(name) &&
  typeof description === 'string' &&
  /\b(auth\w*|access|bearer|oauth2?|api)[\s-]+token\b/i.test(description);

/** The definition that a schema refers to, or the schema itself. */
export function follow({ definitions }: Pick<CompiledDocument, 'definitions'>, schema: Schema): Schema {
  let current = schema;
  for (let hop = 0; hop < 32; hop++) {
    const ref = current['$ref'];
    if (typeof ref !== 'string') return current;
    const name = ref.slice('#/$defs/'.length);
    current = (Object.hasOwn(definitions, name) ? definitions[name] : undefined) ?? {};
  }
  return {};
}

function flatBody(compiled: CompiledDocument, { kind, schema }: BodyMedia): FlatBody | null {
  if (kind === 'text' || kind === 'binary') return null;
  return flatten(compiled, schema, 0);
}

/** Properties of an object schema through references and `allOf`; of alternatives, all properties and what all of them require. */
function flatten(compiled: CompiledDocument, source: Schema, depth: number): FlatBody | null {
  if (depth > 8) return null;
  const schema = follow(compiled, source);
  const type = schema['type'];
  if (type !== undefined && type !== 'object' && !(Array.isArray(type) && type.includes('object'))) return null;
  const flat: FlatBody = { properties: {}, required: [], isOpen: isObject(schema['additionalProperties']) };
  let found = false;
  const add = (part: FlatBody): void => {
    found = true;
    flat.properties = { ...flat.properties, ...part.properties };
    flat.required = [...new Set([...flat.required, ...part.required])];
    flat.isOpen ||= part.isOpen;
  };
  for (const part of partsOf(schema, 'allOf')) {
    const inner = flatten(compiled, part, depth + 1);
    if (inner !== null) add(inner);
  }
  for (const keyword of ['anyOf', 'oneOf']) {
    const inner = partsOf(schema, keyword).flatMap((part) => flatten(compiled, part, depth + 1) ?? []);
    if (inner.length === 0) continue;
    const [first, ...others] = inner as [FlatBody, ...FlatBody[]];
    const required = first.required.filter((name) => others.every((other) => other.required.includes(name)));
    for (const part of inner) add({ ...part, required });
  }
  const properties = schema['properties'];
  if (isObject(properties) && Object.keys(properties).length > 0) {
    const required = Array.isArray(schema['required']) ? (schema['required'] as string[]) : [];
    add({ properties: properties as Record<string, Schema>, required, isOpen: false });
  } else if (Array.isArray(schema['required'])) {
    flat.required = [...new Set([...flat.required, ...(schema['required'] as string[])])];
  }
  if (!found) return null;
  const isSent = (name: string): boolean => follow(compiled, flat.properties[name] ?? {})['readOnly'] !== true;
  flat.required = flat.required.filter((name) => Object.hasOwn(flat.properties, name) && isSent(name));
  return flat;
}

export const partsOf = (schema: Schema, keyword: string): Schema[] =>
  Array.isArray(schema[keyword]) ? (schema[keyword] as Schema[]).filter(isObject) : [];

/** A file: its bytes travel as they are. */
export function isFile(schema: Schema): boolean {
  const { type, format, contentMediaType } = schema;
  if (type !== undefined && type !== 'string') return false;
  return format === 'binary' || (typeof contentMediaType === 'string' && schema['contentEncoding'] === undefined);
}
