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
}

/** JSON with sorted keys; fields that are not set do not count. */
export function canonical(value: unknown): string {
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
      changes.push({ what: 'create', id: object.id, name: object.name, value: object.value, fields: [] });
      continue;
    }
    left.delete(there);
    const fields = differing(object.value, there.value);
    if (fields.length > 0)
      changes.push({ what: 'update', id: there.id, name: object.name, value: object.value, fields });
  }
  for (const { id, name, value } of left) changes.push({ what: 'delete', id, name, value, fields: [] });
  return changes;
}

function differing(wanted: object, there: object): string[] {
  const names = new Set([...Object.keys(wanted), ...Object.keys(there)]);
  const at = (value: object, name: string): unknown => (value as Record<string, unknown>)[name];
  return [...names].filter((name) => canonical(at(wanted, name)) !== canonical(at(there, name))).sort();
}
