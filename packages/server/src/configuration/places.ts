// Where in a YAML file something stands, for messages about it. Pure; the text has been read as YAML before.
import { EVENT_ID, type Event, getScalarValue, parseEvents } from 'js-yaml';

interface Node {
  /** Offset in the text; of a field, that of its name. */
  start: number;
  children: Map<string, Node>;
}

/** Answers the line of the innermost part of `path` that is there, counted from 1. */
export function linesOf(yaml: string): (path: readonly PropertyKey[]) => number {
  const root = readNode(yaml, parseEvents(yaml, {})[Symbol.iterator]());
  return (path) => {
    let node = root;
    for (const part of path) {
      const child = node?.children.get(String(part));
      if (child === undefined) break;
      node = child;
    }
    return yaml.slice(0, Math.max(0, node?.start ?? 0)).split('\n').length;
  };
}

/** Undefined where a document or collection ends. */
function readNode(yaml: string, events: Iterator<Event>): Node | undefined {
  const { value: event, done } = events.next();
  if (done === true || event.type === EVENT_ID.POP) return undefined;
  const children = new Map<string, Node>();
  switch (event.type) {
    case EVENT_ID.DOCUMENT:
      return readNode(yaml, events);
    case EVENT_ID.SCALAR:
      return { start: event.valueStart, children };
    case EVENT_ID.ALIAS:
      return { start: event.anchorStart, children };
    case EVENT_ID.SEQUENCE:
      for (let item = readNode(yaml, events), at = 0; item !== undefined; item = readNode(yaml, events), at++)
        children.set(String(at), item);
      return { start: event.start, children };
    case EVENT_ID.MAPPING:
      return { start: event.start, children: readFields(yaml, events) };
  }
}

function readFields(yaml: string, events: Iterator<Event>): Map<string, Node> {
  const fields = new Map<string, Node>();
  for (;;) {
    const { value: key, done } = events.next();
    if (done === true || key.type === EVENT_ID.POP) return fields;
    // A key that is a collection names no field of a configuration.
    if (key.type !== EVENT_ID.SCALAR) return fields;
    const value = readNode(yaml, events);
    fields.set(getScalarValue(yaml, key), { start: key.valueStart, children: value?.children ?? new Map() });
  }
}
