// Checks the headers of an outbound request before undici sees them. Pure; its errors never quote a name or value.
import { refused } from './egress-error.ts';

const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;
const PRINTABLE = /^[\x20-\x7e]*$/;

/** Framing, routing and hop-by-hop headers belong to the connection; from a caller they could smuggle a second request or host. */
const OWNED = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Returns the headers flat (name, value, name, value). Asks for an unencoded answer unless the caller says otherwise. */
export function checkHeaders(headers: Record<string, string>): string[] {
  const flat: string[] = [];
  let hasAcceptEncoding = false;
  for (const name of Object.keys(headers)) {
    const value: unknown = headers[name];
    const lower = name.toLowerCase();
    if (!TOKEN.test(name)) throw refused('A header name is not valid.');
    if (OWNED.has(lower)) throw refused('A header that belongs to the connection cannot be set.');
    if (typeof value !== 'string' || !PRINTABLE.test(value)) {
      throw refused('A header value contains characters that cannot be sent.');
    }
    if (lower === 'accept-encoding') hasAcceptEncoding = true;
    flat.push(lower, value);
  }
  if (!hasAcceptEncoding) flat.push('accept-encoding', 'identity');
  return flat;
}
