// URLs, header values and user ids: what may leave, and in which form. Pure. Whatever does not survive the trip as it is, is refused.
import { ConfigError, ValidationError } from './errors.ts';

const maxSegmentBytes = 512;
const maxUserIdLength = 1024;

/** C0 controls and DEL. */
function hasControl(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || unit === 0x7f) return true;
  }
  return false;
}

const isVisibleAscii = (text: string): boolean => /^[\x21-\x7e]+$/.test(text);

/** One path segment, percent-encoded. A dot segment would reach another route, a backslash is a slash to URL parsers. */
export function encodeSegment(value: unknown, name: string): string {
  const refuse = (message: string) => new ValidationError({ message: `${name} ${message}`, path: name });
  if (typeof value !== 'string' || value === '') throw refuse('must be a non-empty string');
  if (value === '.' || value === '..') throw refuse('must not be a dot segment');
  if (value.includes('\\') || hasControl(value)) throw refuse('must not contain a backslash or control characters');
  if (new TextEncoder().encode(value).length > maxSegmentBytes)
    throw refuse(`must be at most ${maxSegmentBytes} bytes`);
  try {
    return encodeURIComponent(value);
  } catch {
    // The only URIError there is: a lone surrogate, which has no UTF-8 form.
    throw refuse('must be well-formed text');
  }
}

/**
 * A user id as it may stand in a header or a path. `fetch` trims header values, so `"bob "` would become `bob`;
 * an empty id would become no header at all, and the call would run as the account's default user.
 */
export function checkUserId(value: unknown, path = 'userId'): string {
  const refuse = (message: string) => new ValidationError({ message: `${path} ${message}`, path });
  if (typeof value !== 'string' || value === '') throw refuse('must be a non-empty string');
  if (value.length > maxUserIdLength) throw refuse(`must be at most ${maxUserIdLength} characters`);
  if (!/^[\x20-\x7e]+$/.test(value)) throw refuse('must be printable ASCII');
  if (value !== value.trim()) throw refuse('must not begin or end with a space');
  return value;
}

/** A header value that arrives as it was given. */
export function checkHeaderValue(value: unknown, path: string, maxLength: number): string {
  if (typeof value !== 'string' || value.length > maxLength || !isVisibleAscii(value)) {
    throw new ValidationError({ message: `${path} must be 1-${maxLength} visible ASCII characters`, path });
  }
  return value;
}

export function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127(?:\.\d{1,3}){3}$/.test(hostname)
  );
}

/** An absolute http(s) URL without trailing slash. Never repeats the URL in an error: it may contain a token. */
export function checkBaseUrl(value: unknown, name: string, allowInsecureHttp: boolean): string {
  const refuse = (message: string) => new ConfigError({ message: `${name} ${message}` });
  const text = value instanceof URL ? value.href : value;
  const url = typeof text === 'string' ? tryUrl(text) : undefined;
  if (!url) throw refuse('must be an absolute URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refuse('must be an http or https URL');
  if (url.username !== '' || url.password !== '') throw refuse('must not contain a user name or password');
  if (url.search !== '' || url.hash !== '') throw refuse('must not contain a query or fragment');
  if (url.protocol === 'http:' && !allowInsecureHttp && !isLoopback(url.hostname)) {
    throw refuse('must be https, except for loopback hosts or with allowInsecureHttp');
  }
  try {
    decodeURIComponent(url.pathname);
  } catch {
    throw refuse('must be percent-encoded correctly');
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

function tryUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** Fills `{name}` of a contract path. */
export function fillPath(template: string, values: Readonly<Record<string, unknown>>): string {
  return template.replace(/\{([^}]+)\}/g, (_, name: string) => encodeSegment(values[name], name));
}

/** A path given by the caller of `request()`: no way out of the base URL, no other route by a dot segment. */
export function checkRawPath(path: unknown): string {
  const refuse = (message: string) => new ValidationError({ message: `path ${message}`, path: 'path' });
  if (typeof path !== 'string' || !path.startsWith('/') || path.startsWith('//'))
    throw refuse('must begin with one slash');
  if (path.includes('\\') || hasControl(path) || /[?#\s]/.test(path)) {
    throw refuse('must not contain a query, fragment, space, backslash or control character');
  }
  if (path.split('/').some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment)))
    throw refuse('must not contain dot segments');
  return path;
}

/** `?a=1&b=x`, leaving out what is undefined. */
export function queryString(query: Readonly<Record<string, unknown>> | undefined): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null) continue;
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
      throw new ValidationError({ message: `${key} must be text, a number or a boolean`, path: key });
    }
    search.append(key, String(value));
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}
