// Bytes -> one JSON value, with limits that hold before anything is parsed; and the JSON-RPC shapes that both lanes share. No policy here.
import { isUtf8 } from 'node:buffer';
import { isStorableText } from '@mcp-valet/shared';

export type RequestId = string | number;

/** An error answer on an MCP endpoint: HTTP status, JSON-RPC code, text and data. */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: number;
  readonly status: number;
  readonly data: Record<string, unknown> | undefined;
  readonly retryAfterMs: number | undefined;
  constructor(
    code: number,
    message: string,
    options: { status?: number; data?: Record<string, unknown>; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.code = code;
    this.status = options.status ?? 200;
    this.data = options.data;
    this.retryAfterMs = options.retryAfterMs;
  }
}

export type JsonFault = 'too_deep' | 'too_many_nodes' | 'not_utf8' | 'not_json' | 'bad_text';
export class JsonError extends Error {
  override readonly name = 'JsonError';
  readonly fault: JsonFault;
  constructor(fault: JsonFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

const quote = 0x22;
const backslash = 0x5c;

/**
 * Index of the quote that ends the string which starts at `from`, or the end of the bytes. Found by native search; a string with escaped
 * quotes is walked instead, because millions of searches of two bytes each would hold the loop.
 */
function endOfString(bytes: Buffer, from: number): number {
  const found = bytes.indexOf(quote, from + 1);
  if (found === -1) return bytes.length;
  if (bytes[found - 1] !== backslash) return found;
  for (let at = from + 1; at < bytes.length; at++) {
    if (bytes[at] === quote) return at;
    if (bytes[at] === backslash) at++;
  }
  return bytes.length;
}

/** Depth and number of values, counted on the bytes: a bomb is refused without being built. */
function checkShape(bytes: Buffer, maxDepth: number, maxNodes: number): void {
  let depth = 0;
  let nodes = 1;
  for (let i = 0; i < bytes.length; i++) {
    switch (bytes[i]) {
      case quote:
        i = endOfString(bytes, i);
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (++depth > maxDepth) throw new JsonError('too_deep', `JSON is nested deeper than ${maxDepth}`);
        if (++nodes > maxNodes) throw new JsonError('too_many_nodes', `JSON has more than ${maxNodes} values`);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        depth--;
        break;
      case 0x2c: // ,
        if (++nodes > maxNodes) throw new JsonError('too_many_nodes', `JSON has more than ${maxNodes} values`);
        break;
      default:
    }
  }
}

/** Every string and key of a parsed value; only walked when the bytes hold `\u` escapes, which alone can smuggle in bad text. */
function hasBadText(value: unknown): boolean {
  if (typeof value === 'string') return !isStorableText(value);
  if (value === null || typeof value !== 'object') return false;
  if (Array.isArray(value)) return value.some(hasBadText);
  return Object.entries(value).some(([key, entry]) => !isStorableText(key) || hasBadText(entry));
}

/** Parses untrusted bytes. Throws JsonError. */
export function parseJson(bytes: Buffer, maxDepth: number, maxNodes: number): unknown {
  if (!isUtf8(bytes)) throw new JsonError('not_utf8', 'The body is not valid UTF-8');
  checkShape(bytes, maxDepth, maxNodes);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // The parser's message quotes the body.
    throw new JsonError('not_json', 'The body is not valid JSON');
  }
  if (bytes.includes('\\u') && hasBadText(value))
    throw new JsonError('bad_text', 'Text must be well-formed and without NUL');
  return value;
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The id of whatever was sent, for an error answer; null when there is none to echo. */
export function idOf(message: unknown): RequestId | null {
  const id = isObject(message) ? message['id'] : undefined;
  return typeof id === 'string' || (typeof id === 'number' && Number.isInteger(id)) ? id : null;
}

/** JSON with sorted keys: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson((value as Record<string, unknown>)[key])}`).join(',')}}`;
}
