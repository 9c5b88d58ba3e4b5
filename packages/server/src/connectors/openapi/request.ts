// Builds the HTTP request of one call: operation, arguments and filled security in; method, URL, headers and body out. Pure. The gateway's
// own headers win over the connector's, those over the caller's.
import { type Sorted, sortArguments } from './arguments.ts';
import { writeBody } from './body.ts';
import { InvalidParameters, type Issue } from './check.ts';
import type { CompiledDocument, Operation } from './document.ts';
import type { FilledSecurity } from './security.ts';
import { encodeStrict, headerText, type Pair, pairsOf, pathText } from './serialize.ts';

export interface RequestOptions {
  /** Where the API is, instead of where the document says. */
  baseUrl?: string | null;
  security?: FilledSecurity;
  /** Set by the connector, names in lower case. */
  headers?: Readonly<Record<string, string>>;
}

export interface BuiltRequest {
  method: Operation['method'];
  url: string;
  headers: Record<string, string>;
  body?: string | Uint8Array;
}

/** The document names no absolute address and the connector neither. */
export class NoBaseUrl extends Error {
  override readonly name = 'NoBaseUrl';
  constructor() {
    super('The document names no absolute server address: the connector needs a baseUrl');
  }
}

/** Throws InvalidParameters with everything that is wrong, and NoBaseUrl. */
export function buildRequest(
  compiled: CompiledDocument,
  operation: Operation,
  args: Readonly<Record<string, unknown>>,
  { baseUrl, security, headers: fixed = {} }: RequestOptions = {},
): BuiltRequest {
  const own = { ...fixed, ...security?.headers };
  const sorted = sortArguments(compiled, operation, args, new Set(Object.keys(own)));
  const [path, pathIssues] = fillPath(operation.path, sorted.parameters);
  const issues = [...sorted.issues, ...pathIssues];
  if (issues.length > 0) throw new InvalidParameters(issues);
  const base = baseUrl || operation.baseUrl || compiled.baseUrl;
  if (base === null) throw new NoBaseUrl();
  const query: Pair[] = [];
  const cookies: Pair[] = [];
  const headers: Record<string, string> = { accept: acceptOf(operation), ...sorted.headers };
  for (const { slot, value } of sorted.parameters) {
    const { parameter } = slot;
    if (parameter === undefined || slot.place === 'path') continue;
    if (slot.place === 'query') query.push(...pairsOf(slot.name, value, parameter));
    else if (slot.place === 'cookie') cookies.push(...pairsOf(slot.name, value, parameter));
    else headers[slot.name.toLowerCase()] = headerText(parameter, value);
  }
  query.push(...(security?.query ?? []).map(([name, value]): Pair => [encodeStrict(name), encodeStrict(value)]));
  // A session cookie travels as it was issued, unless it could be read as more than one.
  const cookieText = (text: string): string => (cookieOctets.test(text) ? text : encodeStrict(text));
  cookies.push(...(security?.cookies ?? []).map(([name, value]): Pair => [name, cookieText(value)]));
  const url = urlOf(base, path, query);
  const written = sorted.body === undefined ? undefined : writeBody(compiled, sorted.body.media, sorted.body.value);
  if (written !== undefined) headers['content-type'] = written.contentType;
  if (cookies.length > 0) headers['cookie'] = cookies.map((pair) => pair.join('=')).join('; ');
  Object.assign(headers, own);
  return { method: operation.method, url, headers, ...(written !== undefined && { body: written.body }) };
}

/** RFC 6265, 4.1.1. */
const cookieOctets = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/;

const acceptOf = ({ accept }: Operation): string =>
  [...(accept.length > 0 ? accept.filter((type) => type !== '*/*') : ['application/json']), '*/*;q=0.5'].join(', ');

/** A path segment of dots leads elsewhere, encoded or not: URL parsers take `%2e%2e` for `..`. */
const dots = /^(\.|%2e){1,2}$/i;

function fillPath(template: string, given: Sorted['parameters']): [path: string, issues: Issue[]] {
  const values = new Map(given.filter(({ slot }) => slot.place === 'path').map((one) => [one.slot.name, one]));
  const issues: Issue[] = [];
  const [withQuery = ''] = template.split('#');
  const end = withQuery.indexOf('?');
  const path = end === -1 ? withQuery : withQuery.slice(0, end);
  const filled = path.split('/').map((segment) => {
    const used: string[] = [];
    const text = segment.replace(/\{([^{}]+)\}/g, (whole, name: string) => {
      const one = values.get(name);
      if (one?.slot.parameter === undefined) return whole;
      used.push(one.path);
      return pathText(one.slot.parameter, one.value);
    });
    if (used.length > 0 && dots.test(text)) {
      issues.push(...used.map((name) => ({ path: name, message: 'must not be "." or ".."' })));
    }
    return text;
  });
  return [filled.join('/') + (end === -1 ? '' : withQuery.slice(end)), issues];
}

function urlOf(base: string, path: string, query: readonly Pair[]): string {
  const target = new URL(base);
  target.hash = '';
  const end = path.indexOf('?');
  const ownQuery = end === -1 ? '' : path.slice(end + 1);
  const pairs = query.map((pair) => pair.join('='));
  const search = [target.search.slice(1), ownQuery, ...pairs].filter((part) => part !== '').join('&');
  const root = `${target.origin}${target.pathname.replace(/\/+$/, '')}`;
  return root + (end === -1 ? path : path.slice(0, end)) + (search === '' ? '' : `?${search}`);
}
