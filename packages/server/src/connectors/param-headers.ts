// Pure: the `x-mcp-header` rules of revision 2026-07-28 (streamable-http, custom headers from tool parameters), for both directions.
// The SDK does not export its own. Also the header encoding that `Mcp-Name` shares.

export interface ParamHeader {
  /** The name after `Mcp-Param-`, as declared. */
  header: string;
  path: readonly string[];
  type: 'string' | 'integer' | 'boolean';
}
export type ParamHeaderScan = { valid: true; headers: readonly ParamHeader[] } | { valid: false; reason: string };

const annotation = 'x-mcp-header';
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const sentinel = /^=\?base64\?(.*)\?=$/s;
const strictDecimal = /^-?(?:0|[1-9]\d*)(?:\.\d+)?$/;
const none: ParamHeaderScan = { valid: true, headers: [] };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether the annotation stands anywhere: most schemas have none, and then nothing is walked twice. */
function mentions(value: unknown, depth = 0): boolean {
  if (depth > 64 || value === null || typeof value !== 'object') return false;
  if (Array.isArray(value)) return value.some((entry) => mentions(entry, depth + 1));
  return Object.hasOwn(value, annotation) || Object.values(value).some((entry) => mentions(entry, depth + 1));
}

const scanned = new WeakMap<object, ParamHeaderScan>();

/** The declared headers of a tool's input schema, or why the tool may not be listed. Kept as long as the schema, which nobody changes. */
export function scanParamHeaders(schema: unknown): ParamHeaderScan {
  if (typeof schema !== 'object' || schema === null) return none;
  let scan = scanned.get(schema);
  if (scan === undefined) {
    scan = scanSchema(schema);
    scanned.set(schema, scan);
  }
  return scan;
}

function scanSchema(schema: object): ParamHeaderScan {
  if (!mentions(schema)) return none;
  const headers: ParamHeader[] = [];
  const seen = new Set<string>();
  let fault: string | undefined;
  const visit = (node: unknown, path: readonly string[]): void => {
    if (!isObject(node) || fault !== undefined) return;
    if (Object.hasOwn(node, annotation)) {
      const header = node[annotation];
      const { type } = node;
      if (path.length === 0) fault = `${annotation} on the schema itself`;
      else if (typeof header !== 'string' || !token.test(header)) fault = `${annotation} is not a header name`;
      else if (type !== 'string' && type !== 'integer' && type !== 'boolean')
        fault = `${annotation} on a value that is not string, integer or boolean`;
      else if (seen.has(header.toLowerCase())) fault = `${annotation} ${header} is declared twice`;
      else {
        seen.add(header.toLowerCase());
        headers.push({ header, path, type });
      }
    }
    for (const [key, child] of Object.entries(node)) {
      if (key === 'properties' && isObject(child)) {
        for (const [name, property] of Object.entries(child)) visit(property, [...path, name]);
      } else if (key !== 'default' && key !== 'examples' && key !== 'const' && key !== 'enum' && mentions(child)) {
        fault ??= `${annotation} below ${key}`;
      }
    }
  };
  visit(schema, []);
  return fault === undefined ? { valid: true, headers } : { valid: false, reason: fault };
}

function valueAt(args: unknown, path: readonly string[]): unknown {
  let value = args;
  for (const key of path) {
    if (!isObject(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

/** Integers beyond the safe range have no reliable text, so they have no header. */
function asText(value: unknown): string | undefined {
  if (typeof value === 'number')
    return Number.isInteger(value) && !Number.isSafeInteger(value) ? undefined : String(value);
  return typeof value === 'string' || typeof value === 'boolean' ? String(value) : undefined;
}

/** Header text of a value: as it is when it is plain ASCII without blank edges, else base64 in the sentinel form. */
export function encodeHeaderText(value: string): string {
  const isPlain = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !sentinel.test(value);
  return isPlain ? value : `=?base64?${Buffer.from(value, 'utf8').toString('base64')}?=`;
}

/** The text behind a header value; undefined when a sentinel is not canonical base64 of UTF-8. */
export function decodeHeaderText(header: string): string | undefined {
  const text = header.replace(/^[ \t]+|[ \t]+$/g, '');
  const encoded = sentinel.exec(text)?.[1];
  if (encoded === undefined) return text;
  const bytes = Buffer.from(encoded, 'base64');
  if (bytes.toString('base64') !== encoded) return undefined;
  const decoded = bytes.toString('utf8');
  return Buffer.from(decoded, 'utf8').equals(bytes) ? decoded : undefined;
}

/** What is wrong between an inbound request's `Mcp-Param-*` headers and its arguments; undefined when nothing is. */
export function paramHeaderMismatch(
  declared: readonly ParamHeader[],
  args: unknown,
  header: (name: string) => string | undefined,
): { header: string; body: string } | undefined {
  for (const { header: name, path, type } of declared) {
    const value = valueAt(args, path);
    const expected = value === null || value === undefined ? undefined : asText(value);
    if (expected === undefined) continue;
    const key = `Mcp-Param-${name}`;
    const sent = header(key.toLowerCase());
    const where = path.join('.');
    if (sent === undefined) return { header: key, body: `the body carries ${where} but the ${key} header is absent` };
    const decoded = decodeHeaderText(sent);
    if (decoded === undefined)
      return { header: key, body: `the ${key} header carries an invalid base64 sentinel value` };
    const isSame =
      type === 'integer' && typeof value === 'number' && strictDecimal.test(decoded)
        ? Number(decoded) === value
        : decoded === expected;
    if (!isSame) return { header: key, body: `the ${key} header differs from ${where} in the body` };
  }
  return undefined;
}

/** `Mcp-Param-*` headers for an outgoing call, from its final arguments. */
export function paramHeaders(declared: readonly ParamHeader[], args: unknown): Record<string, string> {
  const out: Record<string, string> = {};
  for (const { header, path } of declared) {
    const value = valueAt(args, path);
    const text = value === null || value === undefined ? undefined : asText(value);
    if (text !== undefined) out[`mcp-param-${header.toLowerCase()}`] = encodeHeaderText(text);
  }
  return out;
}

/** Top-level parameters that are mirrored in headers: no secret may be injected there. */
export const mirroredParameters = (declared: readonly ParamHeader[]): ReadonlySet<string> =>
  new Set(declared.map(({ path }) => path[0] ?? ''));
