// Follows `$ref` inside one document. References to files and networks are never followed, by design: a document must not make the gateway
// fetch anything. Written here because the libraries that dereference return a graph with cycles, which cannot be stored as JSON, and copy
// every shared schema to each place of use.
import { isObject, own } from './document.ts';

export interface Found {
  value: unknown;
  pointer: string;
}

const maxHops = 32;
const maxPointerParts = 64;

export const pointerTo = (pointer: string, ...keys: readonly (string | number)[]): string =>
  keys.reduce<string>((text, key) => `${text}/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`, pointer);

export const refOf = (value: unknown): string | undefined => {
  const ref = isObject(value) ? own(value, '$ref') : undefined;
  return typeof ref === 'string' ? ref : undefined;
};

/** What a local reference points at, one step; undefined when it points at nothing or leaves the document. */
export function lookUp(root: unknown, ref: string): Found | undefined {
  if (!ref.startsWith('#/')) return undefined;
  const parts = ref.slice(2).split('/');
  if (parts.length > maxPointerParts) return undefined;
  let value = root;
  for (const part of parts) {
    value = own(value, decoded(part).replaceAll('~1', '/').replaceAll('~0', '~'));
    if (value === undefined) return undefined;
  }
  return { value, pointer: ref.slice(1) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    // A percent sign that encodes nothing stands for itself.
    if (error instanceof URIError) return part;
    throw error;
  }
}

/** The value itself, or what its chain of references ends at. A string says why there is none. */
export function resolve(root: unknown, value: unknown, pointer: string): Found | string {
  let found: Found = { value, pointer };
  for (let hop = 0; hop < maxHops; hop++) {
    const ref = refOf(found.value);
    if (ref === undefined) return found;
    const next = lookUp(root, ref);
    if (next === undefined) return unresolved(ref);
    found = next;
  }
  return 'The reference leads back to itself';
}

export const unresolved = (ref: string): string =>
  ref.startsWith('#')
    ? 'The reference points at nothing in this document'
    : 'Only references inside the document are followed: put what it refers to into the document';
