// The encodings in which an upstream may send a secret back, for tests of scrubbing.
// Must not be imported by the gateway: it is the attacker's half.

const base64At = (padding: string) => (secret: string) => Buffer.from(padding + secret).toString('base64');
const base64UrlAt = (padding: string) => (secret: string) => Buffer.from(padding + secret).toString('base64url');

export const encodings = {
  raw: (secret) => secret,
  percent: (secret) => encodeURIComponent(secret),
  'percent-all': (secret) =>
    [...Buffer.from(secret)].map((byte) => `%${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
  json: (secret) => JSON.stringify(secret).slice(1, -1),
  'json-unicode': (secret) =>
    Array.from({ length: secret.length }, (_, at) => `\\u${secret.charCodeAt(at).toString(16).padStart(4, '0')}`).join(
      '',
    ),
  hex: (secret) => Buffer.from(secret).toString('hex'),
  'hex-upper': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  base64: base64At(''),
  'base64-shifted-1': base64At('x'),
  'base64-shifted-2': base64At('xx'),
  base64url: base64UrlAt(''),
  'base64url-shifted-1': base64UrlAt('x'),
  'base64url-shifted-2': base64UrlAt('xx'),
} satisfies Record<string, (secret: string) => string>;

export type Encoding = keyof typeof encodings;
