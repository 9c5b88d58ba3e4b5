// Makes what callers sent fit to be kept and printed: cut, without control characters, without anything that looks like a token.
// Pure. A net, not the defence: audit events are built from names and ids, never from values.
import { toUSVString } from 'node:util';
import { redactTokens } from '../redact-tokens.ts';

const sensitiveName =
  /pass(word|phrase)?$|secret(_?value)?$|token$|api_?key$|authorization$|cookie$|private_?key$|credential_?value$/i;

const maxText = 256;
const maxEntries = 50;
const maxDepth = 4;

/** One line of at most `maxLength` characters: tokens replaced, control characters and broken surrogates escaped. */
export function redactText(text: string, maxLength = maxText): string {
  // Tokens first, on the whole text: a cut in the middle of one would leave a piece that no longer looks like a token.
  const clean = toUSVString(redactTokens(text.slice(0, 4 * maxLength))).replace(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return clean.length <= maxLength ? clean : `${toUSVString(clean.slice(0, maxLength - 1))}…`;
}

/** Details of an audit event: bounded, and without the value of anything named like a secret. */
export function redactDetails(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactEntries(details, 0);
}

function redactEntries(entries: Readonly<Record<string, unknown>>, depth: number): Record<string, unknown> {
  const kept = Object.entries(entries).slice(0, maxEntries);
  return Object.fromEntries(
    kept.flatMap(([name, value]) => {
      if (value === undefined) return [];
      return [
        [
          redactText(name, 128),
          sensitiveName.test(name) && typeof value === 'string' ? '[redacted]' : redactValue(value, depth + 1),
        ],
      ];
    }),
  );
}

function redactValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return redactText(value);
    case 'number':
    case 'boolean':
      return value;
    case 'object':
      if (value === null) return null;
      if (depth >= maxDepth) return '[…]';
      if (value instanceof Date) return value.toISOString();
      if (Array.isArray(value)) return value.slice(0, maxEntries).map((entry) => redactValue(entry, depth + 1));
      return redactEntries(value as Record<string, unknown>, depth);
    default:
      return `[${typeof value}]`;
  }
}
