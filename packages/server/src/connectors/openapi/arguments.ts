// Sorts the arguments of a call into their places, from the flat form or the wrapped one (`requestBody`, `queryParameters`, `pathParams`,
// `additionalHeaders` or `headers`), and checks them. Everything wrong is reported at once. What the gateway sets, no caller can set.
import { fileFault } from './body.ts';
import { check, type Issue } from './check.ts';
import { type BodyMedia, type CompiledDocument, isObject, type Operation, type Schema } from './document.ts';
import { scalarText } from './serialize.ts';
import { follow, isFile, placeKey, type Shape, type Slot, shapeOf } from './shape.ts';

export interface Sorted {
  /** Parameters with the value to write. */
  parameters: { slot: Slot; value: unknown; path: string }[];
  body: { media: BodyMedia; value: unknown } | undefined;
  /** Headers beyond the described ones, names in lower case. */
  headers: Record<string, string>;
  /** What is wrong; the rest must not be used then. */
  issues: Issue[];
}

type Wrapper = 'requestBody' | 'queryParameters' | 'pathParams' | 'additionalHeaders' | 'headers';
const wrappers: readonly Wrapper[] = ['requestBody', 'queryParameters', 'pathParams', 'additionalHeaders', 'headers'];

/** Identity, framing, routing and hop-by-hop: the gateway's and the connection's. */
const ownedHeaders =
  /^(authorization|cookie2?|host|connection|content-(length|encoding|range)|expect|keep-alive|te|trailers?|transfer-encoding|upgrade|via|forwarded|x-forwarded-.*|x-real-ip|proxy-.*|http2-settings|accept-encoding|user-agent|origin|referer|x-http-method(-override)?|x-method-override|sec-.*)$/;
const headerName = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
const printable = /^[\x20-\x7e]*$/;
const byGateway = 'is set by the gateway';

export function sortArguments(
  compiled: CompiledDocument,
  operation: Operation,
  args: Readonly<Record<string, unknown>>,
  /** Header names in lower case that the connector sets. */
  fixedHeaders: ReadonlySet<string>,
): Sorted {
  return new Sorting(compiled, operation, fixedHeaders).sort(args);
}

class Sorting {
  readonly #issues: Issue[] = [];
  readonly #compiled: CompiledDocument;
  readonly #operation: Operation;
  readonly #fixedHeaders: ReadonlySet<string>;
  readonly #shape: Shape;
  readonly #given = new Map<Slot, { value: unknown; path: string }>();
  readonly #extra: [string, unknown][] = [];
  readonly #headers: Record<string, string> = {};
  #media: BodyMedia | undefined;
  #whole: { value: unknown } | undefined;

  constructor(compiled: CompiledDocument, operation: Operation, fixedHeaders: ReadonlySet<string>) {
    this.#compiled = compiled;
    this.#operation = operation;
    this.#fixedHeaders = fixedHeaders;
    this.#shape = shapeOf(compiled, operation);
    this.#media = operation.body?.media[0];
  }

  sort(args: Readonly<Record<string, unknown>>): Sorted {
    const { slots } = this.#shape;
    // An argument of the operation may be called `headers`; then it is that argument.
    const used = wrappers.filter((key) => Object.hasOwn(args, key) && !slots.has(key));
    for (const key of used) this.#unwrap(key, args[key]);
    for (const [key, value] of Object.entries(args)) {
      if (!used.includes(key as Wrapper)) this.#takeFlat(key, value);
    }
    const isWrapped = used.length > 0;
    const parameters: Sorted['parameters'] = [];
    for (const [key, slot] of slots) {
      if (slot.parameter === undefined) continue;
      const path = this.#given.get(slot)?.path ?? (isWrapped ? pathIn(slot) : key);
      const value = this.#valueOf(slot);
      if (value === undefined) {
        if (slot.required) this.#say(path, 'is required');
        continue;
      }
      this.#checkParameter(slot, value, path);
      parameters.push({ slot, value, path });
    }
    const body = this.#takeBody(isWrapped);
    return { parameters, body, headers: this.#headers, issues: this.#issues };
  }

  #say(path: string, message: string): void {
    this.#issues.push({ path, message });
  }

  #valueOf(slot: Slot): unknown {
    const value = this.#given.get(slot)?.value;
    if (value !== undefined && value !== null) return value;
    return slot.required ? follow(this.#compiled, slot.schema)['default'] : undefined;
  }

  #takeFlat(key: string, value: unknown): void {
    const slot = this.#shape.slots.get(key);
    if (slot === undefined) {
      const isWithheld = [...this.#shape.withheld].some((place) => place.slice(place.indexOf(' ') + 1) === key);
      if (isWithheld) this.#say(key, byGateway);
      else if (this.#shape.flat?.isOpen === true && this.#whole === undefined) this.#extra.push([key, value]);
      else this.#say(key, 'is not known');
    } else if (slot.place === 'property' && isObject(this.#whole?.value)) {
      // What the connector injects stands beside the wrapped form, and wins.
      this.#whole = { value: Object.fromEntries([...Object.entries(this.#whole.value), [slot.name, value]]) };
    } else if (this.#given.has(slot)) this.#say(key, 'is given twice');
    else this.#given.set(slot, { value, path: key });
  }

  #unwrap(key: Wrapper, value: unknown): void {
    if (value === undefined || value === null) return;
    if (key === 'requestBody') {
      const isNothing = isObject(value) && Object.keys(value).length === 0;
      if (this.#operation.body !== null) this.#whole = { value };
      else if (!isNothing) this.#say(key, 'cannot be sent: this operation takes no body');
      return;
    }
    if (!isObject(value)) {
      this.#say(key, 'must be an object');
      return;
    }
    const place = key === 'queryParameters' ? 'query' : key === 'pathParams' ? 'path' : 'header';
    for (const [name, entry] of Object.entries(value)) {
      const at = `${key}.${name}`;
      const isSame = (slot: Slot): boolean => placeKey(slot.place, slot.name) === placeKey(place, name);
      const slot = [...this.#shape.slots.values()].find(isSame);
      if (this.#shape.withheld.has(placeKey(place, name))) this.#say(at, byGateway);
      else if (place === 'header' && this.#isOwned(name)) this.#say(at, byGateway);
      else if (slot !== undefined) this.#given.set(slot, { value: entry, path: at });
      else if (place === 'header') this.#takeHeader(name, entry, at);
      else this.#say(at, `is not a ${place} parameter of this operation`);
    }
  }

  #isOwned(name: string): boolean {
    const lower = name.toLowerCase();
    return ownedHeaders.test(lower) || this.#fixedHeaders.has(lower);
  }

  #takeHeader(name: string, value: unknown, at: string): void {
    if (value === undefined || value === null) return;
    const text = scalarText(value);
    const lower = name.toLowerCase();
    if (!headerName.test(name)) this.#say(at, 'is not a header name');
    else if (!printable.test(text)) this.#say(at, 'has characters that a header cannot carry');
    else if (lower === 'content-type') this.#takeContentType(text, at);
    else this.#headers[lower] = text;
  }

  #takeContentType(text: string, at: string): void {
    const type = (media: string): string => (media.split(';')[0] ?? '').trim().toLowerCase();
    const chosen = this.#operation.body?.media.find(({ mediaType }) => type(mediaType) === type(text));
    if (chosen !== undefined) this.#media = chosen;
    else this.#say(at, 'is not a content type that this operation takes');
  }

  #checkParameter({ name, place, schema, parameter }: Slot, value: unknown, path: string): void {
    const as = parameter?.isJson === true ? 'json' : 'parameter';
    const issues = check(value, schema, path, { compiled: this.#compiled, as });
    this.#issues.push(...issues);
    if (issues.length > 0) return;
    const isEmpty = isObject(value) ? Object.keys(value).length === 0 : [value].flat().every((part) => part === '');
    if (place === 'path' && isEmpty) this.#say(path, 'must not be empty');
    if (place === 'header' && this.#isOwned(name)) this.#say(path, byGateway);
    if (place === 'header' && !printable.test(scalarText(value))) {
      this.#say(path, 'has characters that a header cannot carry');
    }
  }

  #takeBody(isWrapped: boolean): Sorted['body'] {
    const { body } = this.#operation;
    const media = this.#media;
    if (body === null || media === undefined) return undefined;
    const { slots, flat } = this.#shape;
    if (flat === null || this.#whole !== undefined) {
      const slot = slots.get('body');
      const given = this.#whole ?? (slot?.place === 'body' ? this.#given.get(slot) : undefined);
      if (given?.value === undefined || given.value === null) {
        if (body.required) this.#say(isWrapped ? 'requestBody' : 'body', 'is required');
        return undefined;
      }
      const prefix = this.#whole === undefined ? 'body' : 'requestBody';
      return this.#checked(media, withDefaults(given.value), prefix);
    }
    const properties: [string, unknown][] = [...this.#extra];
    for (const slot of slots.values()) {
      const value = slot.place === 'property' ? this.#given.get(slot)?.value : undefined;
      if (value !== undefined) properties.push([slot.name, value]);
    }
    if (properties.length === 0 && !body.required) return undefined;
    return this.#checked(media, withDefaults(Object.fromEntries(properties)), isWrapped ? 'requestBody' : '');

    function withDefaults(value: unknown): unknown {
      if (flat === null || !isObject(value)) return value;
      const missing = flat.required.filter((name) => !Object.hasOwn(value, name));
      const defaults = missing.flatMap((name): [string, unknown][] => {
        const fallback = (flat.properties[name] as Schema)['default'];
        return fallback === undefined ? [] : [[name, fallback]];
      });
      return defaults.length === 0 ? value : Object.fromEntries([...Object.entries(value), ...defaults]);
    }
  }

  #checked(media: BodyMedia, value: unknown, prefix: string): Sorted['body'] {
    const at = (name: string): string => (prefix === '' ? name : `${prefix}.${name}`);
    const withheld = [...this.#shape.withheld].flatMap((place) =>
      place.startsWith('property ') ? [place.slice('property '.length)] : [],
    );
    const as = media.kind === 'json' ? 'json' : 'field';
    if (media.kind === 'binary') {
      const fault = fileFault(value);
      if (fault !== undefined) this.#say(prefix, fault);
      return { media, value };
    }
    const issues = check(value, media.schema, prefix, { compiled: this.#compiled, as });
    // The gateway's own: its absence is right, its presence is not.
    this.#issues.push(...issues.filter(({ path }) => !withheld.some((name) => path === at(name))));
    if (isObject(value)) {
      for (const name of withheld) if (Object.hasOwn(value, name)) this.#say(at(name), byGateway);
      if (media.kind === 'multipart') this.#checkFiles(value, at);
    } else if (media.kind === 'form' || media.kind === 'multipart') this.#say(prefix, 'must be an object');
    return { media, value };
  }

  #checkFiles(value: Record<string, unknown>, at: (name: string) => string): void {
    for (const [name, source] of Object.entries(this.#shape.flat?.properties ?? {})) {
      const schema = follow(this.#compiled, source);
      const items = isObject(schema['items']) ? follow(this.#compiled, schema['items']) : {};
      const given = Object.hasOwn(value, name) ? value[name] : undefined;
      const files = isFile(schema) ? [given] : isFile(items) && Array.isArray(given) ? given : [];
      for (const file of files as unknown[]) {
        const fault = file === undefined || file === null ? undefined : fileFault(file);
        if (fault !== undefined) this.#say(at(name), fault);
      }
    }
  }
}

const pathIn = ({ place, name }: Slot): string => {
  const wrapper = { query: 'queryParameters', path: 'pathParams', header: 'headers' } as const;
  return place === 'query' || place === 'path' || place === 'header' ? `${wrapper[place]}.${name}` : name;
};
