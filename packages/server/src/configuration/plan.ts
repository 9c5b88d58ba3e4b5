// What would have to change for one side to become the other. Pure: two lists of objects in, changes out.

/** One object of the configuration, by the id it has or would have. `value` has every field, in the form that is compared. */
export interface ConfigObject<T = unknown> {
  id: string | undefined;
  /** Unique in its account: finds the object where the id does not. */
  name: string;
  value: T;
}

export interface Change<T = unknown> {
  what: 'create' | 'update' | 'delete';
  /** Of an update or deletion: the one that is there. */
  id: string | undefined;
  name: string;
  /** Of a deletion: what is lost. */
  value: T;
  /** Names of fields that differ. */
  fields: string[];
  /** The same in full, down to what holds no further fields. */
  differences: Difference[];
}

/** Undefined on the side that does not have it. */
export interface Difference {
  /** As in the file: `inject.headers.authorization`. */
  field: string;
  from?: unknown;
  to?: unknown;
}

/** JSON with sorted keys; fields that are not set do not count. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part !== null && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

export function planChanges<T extends object>(
  wanted: readonly ConfigObject<T>[],
  present: readonly ConfigObject<T>[],
): Change<T>[] {
  const left = new Set(present);
  const find = (object: ConfigObject<T>): ConfigObject<T> | undefined =>
    present.find((other) => left.has(other) && object.id !== undefined && other.id === object.id) ??
    present.find((other) => left.has(other) && other.name === object.name);
  const changes: Change<T>[] = [];
  for (const object of wanted) {
    const there = find(object);
    if (there === undefined) {
      changes.push({ what: 'create', id: object.id, name: object.name, value: object.value, ...asAWhole });
      continue;
    }
    left.delete(there);
    const differences = differing(object.value, there.value);
    const fields = [...new Set(differences.map(({ field }) => field.split('.')[0] ?? field))];
    if (fields.length > 0)
      changes.push({ what: 'update', id: there.id, name: object.name, value: object.value, fields, differences });
  }
  for (const { id, name, value } of left) changes.push({ what: 'delete', id, name, value, ...asAWhole });
  return changes;
}

/** Of what is made or deleted: it is a change as a whole. */
export const asAWhole = { fields: [], differences: [] };
/** Parts of a connector's value that a file does not have as fields of their own. */
const inner = /^definition\.(config\.)?/;

/** Sorted by field. */
export function differing(to: object, from: object, at = ''): Difference[] {
  const [wanted, there] = [new Map(Object.entries(to)), new Map(Object.entries(from))];
  return [...new Set([...wanted.keys(), ...there.keys()])].sort().flatMap((name) => {
    const [next, last] = [wanted.get(name) as unknown, there.get(name) as unknown];
    if (canonical(next) === canonical(last)) return [];
    const field = `${at}${name}`;
    if (isFields(next) && isFields(last)) return differing(next, last, `${field}.`);
    return [{ field: field.replace(inner, ''), from: last, to: next }];
  });
}

const isFields = (value: unknown): value is object =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
