// Translates the snake_case bodies of the user routes to the SDK's camelCase and back, at one place. Free-form objects are left alone.

type CamelKey<K extends string> = K extends `${infer A}_${infer B}` ? `${A}${Capitalize<CamelKey<B>>}` : K;
/** T with its own and nested keys in camelCase; `metadata` and `details` stay as they are. */
export type Camel<T> = T extends readonly (infer E)[]
  ? Camel<E>[]
  : T extends object
    ? { [K in keyof T as K extends string ? CamelKey<K> : K]: K extends 'metadata' | 'details' ? T[K] : Camel<T[K]> }
    : T;

const free = new Set(['metadata', 'details']);

function mapKeys(value: unknown, rename: (key: string) => string): unknown {
  if (Array.isArray(value)) return value.map((entry) => mapKeys(entry, rename));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [rename(key), free.has(key) ? entry : mapKeys(entry, rename)]),
  );
}

export const toCamel = (value: unknown): unknown =>
  mapKeys(value, (key) => key.replace(/_([a-z])/g, (_, c: string) => c.toUpperCase()));
export const toSnake = (value: unknown): unknown =>
  mapKeys(value, (key) => key.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`));
