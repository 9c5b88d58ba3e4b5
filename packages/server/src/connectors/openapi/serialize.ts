// Writes parameter values as OpenAPI 3.1 says: styles, explode, percent-encoding (RFC 6570). A value can never leave its place: everything
// that has a meaning in a URL is encoded, but for `allowReserved` what cannot end the query or start another parameter.
import type { Parameter, Style } from './document.ts';

/** One `name=value` of a query, both encoded. */
export type Pair = readonly [name: string, value: string];
type Encode = (text: string) => string;

const percent = (c: string): string => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;

/** Everything but the unreserved characters of RFC 3986. Unpaired surrogates become the replacement character. */
export const encodeStrict: Encode = (text) => encodeURIComponent(text.toWellFormed()).replace(/[!'()*]/g, percent);
const encodeReserved: Encode = (text) =>
  encodeStrict(text).replace(/%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)/g, (code) => decodeURIComponent(code));
/** As HTML forms write it. */
export const encodeForm: Encode = (text) => new URLSearchParams([['', text.toWellFormed()]]).toString().slice(1);
const asIs: Encode = (text) => text;

export function scalarText(value: unknown): string {
  if (typeof value === 'string') return value;
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

const delimiters: Partial<Record<Style, string>> = { spaceDelimited: ' ', pipeDelimited: '|', tabDelimited: '\t' };

/** Members that say something; undefined and null do not. */
const membersOf = (value: object): [string, unknown][] =>
  Object.entries(value).filter(([, entry]) => entry !== undefined && entry !== null);
const isComposite = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** A list of the value's parts: entries of an array, or names and values of an object by turns, or the value alone. */
function partsOf(value: unknown, encode: Encode): string[] {
  if (Array.isArray(value)) return value.map((entry) => encode(scalarText(entry)));
  if (!isComposite(value)) return [encode(scalarText(value))];
  return membersOf(value).flatMap(([name, entry]) => [encode(name), encode(scalarText(entry))]);
}

const assignments = (value: object, encode: Encode): string[] =>
  membersOf(value).map(([name, entry]) => `${encode(name)}=${encode(scalarText(entry))}`);

/** What replaces `{name}` in a path. */
export function pathText(parameter: Parameter, value: unknown): string {
  const { name, style, explode, isJson } = parameter;
  if (isJson) return encodeStrict(JSON.stringify(value));
  const isObjectValue = isComposite(value) && !Array.isArray(value);
  const parts = isObjectValue && explode ? assignments(value, encodeStrict) : partsOf(value, encodeStrict);
  switch (style) {
    case 'label':
      return `.${parts.join(explode ? '.' : ',')}`;
    case 'matrix': {
      const key = encodeStrict(name);
      if (isObjectValue && explode) return parts.map((part) => `;${part}`).join('');
      const one = (text: string): string => (text === '' ? `;${key}` : `;${key}=${text}`);
      return explode ? parts.map(one).join('') : one(parts.join(','));
    }
    default:
      return parts.join(encodeStrict(delimiters[style] ?? '') || ',');
  }
}

/** A header's value; not encoded, as OpenAPI has it. The caller checks that it can be sent. */
export function headerText({ style, explode, isJson }: Parameter, value: unknown): string {
  if (isJson) return JSON.stringify(value);
  const isObjectValue = isComposite(value) && !Array.isArray(value);
  return (isObjectValue && explode ? assignments(value, asIs) : partsOf(value, asIs)).join(delimiters[style] ?? ',');
}

export interface PairRules {
  style: Style;
  explode: boolean;
  allowReserved?: boolean;
  isJson?: boolean;
}

/** Pairs of a query, a form or a cookie. */
export function pairsOf(name: string, value: unknown, rules: PairRules, form = false): Pair[] {
  const encodeName = form ? encodeForm : encodeStrict;
  const encode = form ? encodeForm : rules.allowReserved === true ? encodeReserved : encodeStrict;
  const key = encodeName(name);
  if (rules.isJson === true) return [[key, encode(JSON.stringify(value))]];
  if (!isComposite(value)) return [[key, encode(scalarText(value))]];
  if (rules.style === 'deepObject') return deepPairs(name, value, encodeName, encode);
  if (Array.isArray(value) && value.length === 0) return [];
  // An exploded delimited list is written as the form style writes it.
  const delimiter = rules.explode ? undefined : delimiters[rules.style];
  if (delimiter !== undefined) return [[key, partsOf(value, encode).join(encode(delimiter))]];
  if (!rules.explode) return [[key, partsOf(value, encode).join(form ? encode(',') : ',')]];
  if (Array.isArray(value)) return value.map((entry) => [key, encode(scalarText(entry))]);
  return membersOf(value).map(([member, entry]) => [encodeName(member), encode(scalarText(entry))]);
}

/** OpenAPI leaves nested objects and arrays open; brackets with names and indexes are what the vendors that use them read. */
function deepPairs(prefix: string, value: object, encodeName: Encode, encode: Encode): Pair[] {
  return membersOf(value).flatMap(([member, entry]): Pair[] => {
    const name = `${prefix}[${member}]`;
    return isComposite(entry)
      ? deepPairs(name, entry, encodeName, encode)
      : [[encodeName(name).replaceAll('%5B', '[').replaceAll('%5D', ']'), encode(scalarText(entry))]];
  });
}
