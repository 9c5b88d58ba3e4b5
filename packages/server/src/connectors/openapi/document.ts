// What an OpenAPI document becomes: a compact description of its operations, plain JSON, so that it can be stored and used again without
// reading the document. Types and the error of a refused document only. Nothing here holds a secret.

/** Where a document is wrong: a JSON pointer into the document as it came, and a sentence. */
export interface Place {
  path: string;
  message: string;
}

export const maxPlaces = 20;

/** The document cannot be used at all. */
export class DocumentRefused extends Error {
  override readonly name = 'DocumentRefused';
  readonly places: readonly Place[];
  constructor(places: readonly Place[]) {
    super('The OpenAPI document cannot be used');
    this.places = places.slice(0, maxPlaces);
  }
}

/** JSON Schema 2020-12, references as `#/$defs/…` into the definitions of the compiled document. */
export type Schema = { [keyword: string]: unknown };

export type ParameterPlace = 'path' | 'query' | 'header' | 'cookie';
export type Style =
  | 'simple'
  | 'label'
  | 'matrix'
  | 'form'
  | 'spaceDelimited'
  | 'pipeDelimited'
  /** `tsv` of OpenAPI 2.0; later versions have no word for it. */
  | 'tabDelimited'
  | 'deepObject';

export interface Parameter {
  name: string;
  in: ParameterPlace;
  required: boolean;
  style: Style;
  explode: boolean;
  allowReserved: boolean;
  /** The value travels as JSON text. */
  isJson: boolean;
  description: string;
  schema: Schema;
}

/** How one property of a form or multipart body travels, where the document says. */
export interface Encoding {
  contentType?: string;
  style?: Style;
  explode?: boolean;
  allowReserved?: boolean;
}

export type BodyKind = 'json' | 'form' | 'multipart' | 'text' | 'binary';

export interface BodyMedia {
  mediaType: string;
  kind: BodyKind;
  schema: Schema;
  encoding: Record<string, Encoding>;
}

export interface Operation {
  /** The operationId of the document, or one made from method and path. */
  id: string;
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  /** JSON pointer of the operation in the document. */
  place: string;
  summary: string;
  description: string;
  tag: string;
  deprecated: boolean;
  parameters: Parameter[];
  /** Media types in the order in which they are preferred. */
  body: { required: boolean; description: string; media: BodyMedia[] } | null;
  /** Alternatives, each the names of the schemes that it needs together; an empty alternative needs none. No alternatives: open. */
  security: string[][];
  /** Base URL of its own, where it differs from the document's. */
  baseUrl: string | null;
  /** Media types that its successful answers have. */
  accept: string[];
}

export type SecurityScheme =
  | { kind: 'apiKey'; in: 'header' | 'query' | 'cookie'; name: string }
  | { kind: 'basic' }
  | { kind: 'bearer' }
  | { kind: 'oauth2'; flows: { flow: string; authorizationUrl?: string; tokenUrl?: string; scopes: string[] }[] }
  | { kind: 'openIdConnect'; url: string }
  | { kind: 'unsupported'; what: string };

export interface CompiledDocument {
  format: 1;
  /** Version of OpenAPI that the document was written in. */
  openapi: string;
  title: string;
  version: string;
  description: string;
  /** Where the API is; null when the document names no absolute address. */
  baseUrl: string | null;
  servers: string[];
  securitySchemes: Record<string, SecurityScheme>;
  operations: Operation[];
  definitions: Record<string, Schema>;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
/** An own property: names of a document may be `constructor` or `__proto__`. */
export const own = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? (value as Record<string, unknown>)[key]
    : undefined;
