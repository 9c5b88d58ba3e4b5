// Compiles one operation of a document. A part that is wrong is reported with its place and left out where the operation still makes sense
// without it; what makes it uncallable is thrown and costs this operation only.
import {
  type BodyKind,
  type BodyMedia,
  type Encoding,
  isObject,
  type Operation,
  own,
  type Parameter,
  type ParameterPlace,
  type Place,
  type Style,
  textOf,
} from './document.ts';
import { type Found, pointerTo, refOf, resolve } from './references.ts';
import type { Schemas } from './schemas.ts';
import { upgradeParameters } from './swagger.ts';

export interface Scene {
  root: Record<string, unknown>;
  isSwagger: boolean;
  schemas: Schemas;
  note(place: Place): void;
}

/** Makes the operation uncallable. */
export class OperationLost extends Error {
  readonly place: Place;
  constructor(path: string, message: string) {
    super(message);
    this.place = { path, message };
  }
}

const places = new Set<unknown>(['path', 'query', 'header', 'cookie']);
const swaggerPlaces = new Set<unknown>(['path', 'query', 'header', 'formData', 'body']);
/** Described by other parts of a document; as parameters they are to be ignored (OpenAPI 3.1, 4.8.12). */
const ignoredHeaders = new Set(['accept', 'content-type', 'authorization']);
const stylesOf: Record<ParameterPlace, readonly Style[]> = {
  path: ['simple', 'label', 'matrix', 'spaceDelimited', 'pipeDelimited', 'tabDelimited'],
  query: ['form', 'spaceDelimited', 'pipeDelimited', 'tabDelimited', 'deepObject'],
  header: ['simple', 'spaceDelimited', 'pipeDelimited', 'tabDelimited'],
  cookie: ['form'],
};

/** Parameters of path item and operation, the operation's own winning. */
export function findParameters(scene: Scene, item: Found, operation: Found): Found[] {
  const found = new Map<string, Found>();
  for (const owner of [item, operation]) {
    const list = own(owner.value, 'parameters');
    if (list === undefined || list === null) continue;
    const pointer = pointerTo(owner.pointer, 'parameters');
    if (!Array.isArray(list)) {
      scene.note({ path: pointer, message: 'parameters must be an array: it was left out' });
      continue;
    }
    for (const [index, entry] of list.entries()) {
      const at = pointerTo(pointer, index);
      const parameter = resolve(scene.root, entry, at);
      if (typeof parameter === 'string') scene.note({ path: at, message: parameter });
      else {
        const fault = parameterFault(scene, parameter.value);
        if (fault !== undefined) scene.note({ path: at, message: `${fault}: the parameter was left out` });
        else found.set(`${textOf(own(parameter.value, 'in'))} ${textOf(own(parameter.value, 'name'))}`, parameter);
      }
    }
  }
  return [...found.values()];
}

function parameterFault(scene: Scene, value: unknown): string | undefined {
  if (!isObject(value)) return 'A parameter must be an object';
  if (textOf(own(value, 'name')) === '') return 'A parameter needs a name';
  if (!(scene.isSwagger ? swaggerPlaces : places).has(own(value, 'in'))) return 'in must say where the parameter goes';
  return undefined;
}

function compileParameter(scene: Scene, { value, pointer }: Found): Parameter {
  const parameter = value as Record<string, unknown>;
  const place = parameter['in'] as ParameterPlace;
  const content = own(parameter, 'content');
  const [mediaType, media] = isObject(content) ? (Object.entries(content)[0] ?? []) : [];
  const source = mediaType === undefined ? own(parameter, 'schema') : own(media, 'schema');
  const at =
    mediaType === undefined ? pointerTo(pointer, 'schema') : pointerTo(pointer, 'content', mediaType, 'schema');
  const named = textOf(own(parameter, 'style')) as Style;
  const fallback = stylesOf[place][0] as Style;
  const style = stylesOf[place].includes(named) ? named : fallback;
  const explode = own(parameter, 'explode');
  return {
    name: textOf(parameter['name']),
    in: place,
    required: place === 'path' || parameter['required'] === true,
    style,
    explode: typeof explode === 'boolean' ? explode : style === 'form' || style === 'deepObject',
    allowReserved: parameter['allowReserved'] === true,
    isJson: mediaType !== undefined,
    description: textOf(parameter['description']).slice(0, 2_000),
    // A parameter of 2.0 is its own schema: it has no place for one.
    schema: scene.schemas.take(source, scene.isSwagger ? pointer : at),
  };
}

function kindOf(mediaType: string): BodyKind {
  const type = (mediaType.split(';')[0] ?? '').trim().toLowerCase();
  if (type === 'application/json' || type.endsWith('+json') || type === '*/*' || type === 'application/*')
    return 'json';
  if (type === 'application/x-www-form-urlencoded') return 'form';
  if (type.startsWith('multipart/')) return 'multipart';
  if (type.startsWith('text/') || /[/+](xml|yaml|graphql|javascript|x-ndjson)$/.test(type)) return 'text';
  return 'binary';
}

const preference: Record<BodyKind, number> = { json: 0, form: 1, multipart: 2, text: 3, binary: 4 };
const mediaTypePattern = /^[\w!#$&^.+*-]+\/[\w!#$&^.+*-]+( *;[\x20-\x7e]*)?$/;

function compileBody(scene: Scene, source: unknown, pointer: string): Operation['body'] {
  if (source === undefined || source === null) return null;
  const found = resolve(scene.root, source, pointer);
  if (typeof found === 'string') throw new OperationLost(pointer, found);
  const content = own(found.value, 'content');
  if (!isObject(content)) throw new OperationLost(pointer, 'A request body needs content');
  const media: BodyMedia[] = [];
  for (const [mediaType, value] of Object.entries(content)) {
    const at = pointerTo(found.pointer, 'content', mediaType);
    if (!mediaTypePattern.test(mediaType)) {
      scene.note({ path: at, message: 'This is not a media type: it was left out' });
      continue;
    }
    media.push({
      mediaType: mediaType.includes('*') ? 'application/json' : mediaType,
      kind: kindOf(mediaType),
      schema: scene.schemas.take(own(value, 'schema'), pointerTo(at, 'schema')),
      encoding: encodingsOf(own(value, 'encoding')),
    });
  }
  if (media.length === 0) return null;
  media.sort((a, b) => preference[a.kind] - preference[b.kind]);
  const description = textOf(own(found.value, 'description')).slice(0, 2_000);
  return { required: own(found.value, 'required') === true, description, media };
}

function encodingsOf(source: unknown): Record<string, Encoding> {
  if (!isObject(source)) return {};
  return Object.fromEntries(
    Object.entries(source).map(([name, value]): [string, Encoding] => {
      const style = textOf(own(value, 'style')) as Style;
      const contentType = textOf(own(value, 'contentType'));
      const explode = own(value, 'explode');
      return [
        name,
        {
          ...(/^[\w./+*, -]+$/.test(contentType) && { contentType }),
          ...(stylesOf.query.includes(style) && { style }),
          ...(typeof explode === 'boolean' && { explode }),
          ...(own(value, 'allowReserved') === true && { allowReserved: true }),
        },
      ];
    }),
  );
}

const textsIn = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((entry): entry is string => typeof entry === 'string') : [];

function acceptOf(scene: Scene, operation: Record<string, unknown>): string[] {
  if (scene.isSwagger) return textsIn(own(operation, 'produces') ?? own(scene.root, 'produces')).slice(0, 4);
  const responses = own(operation, 'responses');
  const types = new Set<string>();
  for (const [status, response] of Object.entries(isObject(responses) ? responses : {})) {
    if (!/^(2|default)/.test(status)) continue;
    const found = resolve(scene.root, response, '');
    const content = typeof found === 'string' ? undefined : own(found.value, 'content');
    if (isObject(content)) for (const type of Object.keys(content)) types.add(type);
  }
  return [...types].filter((type) => mediaTypePattern.test(type)).slice(0, 4);
}

/** Without what depends on the whole document: its id, its security and its address. */
export type OperationParts = Omit<Operation, 'id' | 'security' | 'baseUrl' | 'method' | 'path' | 'place'>;

export function compileOperation(scene: Scene, path: string, item: Found, found: Found): OperationParts {
  if (!isObject(found.value)) throw new OperationLost(found.pointer, 'An operation must be an object');
  if (refOf(found.value) !== undefined) throw new OperationLost(found.pointer, 'An operation cannot be a reference');
  const operation = found.value;
  const all = findParameters(scene, item, found);
  const consumes = textsIn(own(operation, 'consumes') ?? own(scene.root, 'consumes'));
  const upgraded = scene.isSwagger
    ? upgradeParameters(all, consumes)
    : { parameters: all, requestBody: own(operation, 'requestBody') };
  const parameters = upgraded.parameters
    .map((parameter) => compileParameter(scene, parameter))
    .filter(({ in: place, name }) => place !== 'header' || !ignoredHeaders.has(name.toLowerCase()));
  const inTemplate = new Set([...path.matchAll(/\{([^{}]+)\}/g)].map(([, name]) => name as string));
  const isStray = (parameter: Parameter): boolean => parameter.in === 'path' && !inTemplate.has(parameter.name);
  for (const { name } of parameters.filter(isStray)) {
    scene.note({ path: found.pointer, message: `The path has no place for the parameter ${name}: it was left out` });
  }
  for (const name of inTemplate) {
    if (parameters.some((parameter) => parameter.in === 'path' && parameter.name === name)) continue;
    scene.note({ path: found.pointer, message: `The path names ${name}, which is not described: it is taken as text` });
    const schema = { type: 'string' };
    const fixed = { in: 'path', required: true, style: 'simple', explode: false } as const;
    parameters.push({ name, ...fixed, allowReserved: false, isJson: false, description: '', schema });
  }
  const tags = textsIn(own(operation, 'tags'));
  return {
    summary: textOf(own(operation, 'summary')).slice(0, 500),
    description: textOf(own(operation, 'description')).slice(0, 4_000),
    tag: tags[0] ?? path.split('/').find((part) => part !== '' && !part.startsWith('{')) ?? '',
    deprecated: own(operation, 'deprecated') === true,
    parameters: parameters.filter((parameter) => !isStray(parameter)),
    body: compileBody(scene, upgraded.requestBody, pointerTo(found.pointer, 'requestBody')),
    accept: acceptOf(scene, operation),
  };
}
