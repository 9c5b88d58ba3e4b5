// Reads an OpenAPI document of version 2.0, 3.0 or 3.1 and compiles its operations. Pure: no file, no network. A document that cannot be
// used is refused with the places that are wrong; a wrong operation is left out with a warning and costs no other one.
import {
  type CompiledDocument,
  DocumentRefused,
  isObject,
  maxPlaces,
  type Operation,
  own,
  type Place,
  textOf,
} from './document.ts';
import { compileOperation, OperationLost, type Scene } from './operation.ts';
import { readDocument, refused } from './read.ts';
import { pointerTo, refOf, resolve } from './references.ts';
import { Schemas } from './schemas.ts';
import { type Requirements, readRequirements, readSchemes } from './schemes.ts';
import { absoluteServers } from './servers.ts';

const methods = new Set(['get', 'head', 'post', 'put', 'patch', 'delete']);
/** Methods that a document may describe and the gateway does not send. */
const unsentMethods = new Set(['options', 'trace', 'query']);
const maxOperations = 20_000;

export function importDocument(input: unknown): { compiled: CompiledDocument; warnings: Place[] } {
  const root = readDocument(input);
  if (!isObject(root)) throw refused('', 'An OpenAPI document is an object');
  const openapi = versionOf(root);
  const isSwagger = openapi.startsWith('2');
  const paths = pathsOf(root, openapi);
  const notes: Place[] = [];
  const lost: Place[] = [];
  const note = (place: Place): void => {
    if (notes.length < maxPlaces) notes.push(place);
  };
  const scene: Scene = { root, isSwagger, schemas: new Schemas(root, note), note };
  const securitySchemes = readSchemes(scene);
  const requirements: Requirements = { schemes: securitySchemes, root: own(root, 'security') };
  const servers = absoluteServers(scene, root, '');
  const operations: Operation[] = [];
  for (const [path, value] of Object.entries(paths)) {
    if (path.startsWith('x-')) continue;
    const pointer = pointerTo('/paths', path);
    const item = resolve(root, value, pointer);
    if (typeof item === 'string' || !isObject(item.value)) {
      const message = typeof item === 'string' ? item : 'A path must be an object';
      lost.push({ path: pointer, message });
      continue;
    }
    if (!path.startsWith('/')) {
      lost.push({ path: pointer, message: 'A path must begin with a slash' });
      continue;
    }
    const ofItem = refOf(value) === undefined || !isObject(value) ? item.value : { ...item.value, ...value };
    for (const method of Object.keys(ofItem)) {
      const at = pointerTo(item.pointer, method);
      if (unsentMethods.has(method)) note({ path: at, message: `${method.toUpperCase()} requests are not sent` });
      if (!methods.has(method)) continue;
      try {
        const found = { value: ofItem[method], pointer: at };
        const parts = compileOperation(scene, path, { value: ofItem, pointer: item.pointer }, found);
        const [ownServer] = [found.value, ofItem].flatMap((owner) => absoluteServers(scene, owner, at, servers[0]));
        operations.push({
          id: textOf(own(found.value, 'operationId')),
          method: method.toUpperCase() as Operation['method'],
          path,
          place: at,
          ...parts,
          security: readRequirements(scene, requirements, own(found.value, 'security'), at),
          baseUrl: ownServer ?? null,
        });
      } catch (error) {
        if (!(error instanceof OperationLost)) throw error;
        lost.push(error.place);
      }
      if (operations.length > maxOperations) throw refused('/paths', `More than ${maxOperations} operations`);
    }
  }
  nameOperations(operations, note);
  if (operations.length === 0 && lost.length > 0) throw new DocumentRefused(lost);
  if (operations.length === 0) note({ path: '/paths', message: 'The document describes no operation' });
  const info = own(root, 'info');
  const compiled: CompiledDocument = {
    format: 1,
    openapi,
    title: textOf(own(info, 'title')).slice(0, 200),
    version: textIn(own(info, 'version')).slice(0, 100),
    description: textOf(own(info, 'description')).slice(0, 4_000),
    baseUrl: servers[0] ?? null,
    servers,
    securitySchemes,
    operations,
    definitions: scene.schemas.definitions,
  };
  // What was lost comes first: it is what cannot be called.
  return { compiled, warnings: [...lost, ...notes].slice(0, maxPlaces) };
}

/** YAML reads an unquoted 2.0 or 3.1 as a number. */
const textIn = (value: unknown): string =>
  typeof value === 'number' ? (Number.isInteger(value) ? value.toFixed(1) : String(value)) : textOf(value);

function versionOf(root: Record<string, unknown>): string {
  const swagger = own(root, 'swagger');
  const openapi = own(root, 'openapi');
  if (openapi === undefined && swagger === undefined) {
    throw refused('', 'Neither openapi nor swagger says which version of OpenAPI this is');
  }
  if (openapi === undefined && /^2\.0$/.test(textIn(swagger))) return '2.0';
  if (/^3\.[01](\.|$)/.test(textIn(openapi))) return textIn(openapi);
  const field = openapi === undefined ? '/swagger' : '/openapi';
  throw refused(field, 'Only OpenAPI 2.0, 3.0 and 3.1 are understood');
}

function pathsOf(root: Record<string, unknown>, openapi: string): Record<string, unknown> {
  const paths = own(root, 'paths');
  if (isObject(paths)) return paths;
  if (paths === undefined && openapi.startsWith('3.1')) return {};
  throw refused(paths === undefined ? '' : '/paths', 'paths must be an object that describes the operations');
}

/** Gives every operation one name of its own: its operationId, or one made from method and path that stays the same at every import. */
function nameOperations(operations: Operation[], note: (place: Place) => void): void {
  const taken = new Set<string>();
  const unnamed: Operation[] = [];
  for (const operation of operations) {
    const { id } = operation;
    const fault =
      id === ''
        ? 'There is no operationId'
        : id.length > 256 || !id.isWellFormed() || id.includes('\0')
          ? 'The operationId is too long or not text'
          : taken.has(id)
            ? 'Another operation has this operationId'
            : undefined;
    if (fault === undefined) taken.add(id);
    else {
      unnamed.push(operation);
      if (id !== '') note({ path: pointerTo(operation.place, 'operationId'), message: `${fault}: a name was made` });
    }
  }
  for (const operation of unnamed) {
    const words = `${operation.method.toLowerCase()}${operation.path}`.replace(/[^\p{L}\p{N}]+/gu, '_');
    const base = words.replace(/_+$/, '').slice(0, 200);
    let id = base;
    for (let n = 2; taken.has(id); n++) id = `${base}_${n}`;
    taken.add(id);
    operation.id = id;
  }
}
