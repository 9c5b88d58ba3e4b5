// Random identifiers with a telling prefix. They name things and are never proof of anything: no authentication by id.
// 22 base62 characters are 131 bits, drawn without bias from a pooled buffer (one system call per ~180 ids).
import { randomFillSync } from 'node:crypto';

const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const pool = Buffer.allocUnsafe(4096);
let used = pool.length;

function nextByte(): number {
  if (used === pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool[used++] as number;
}

/** `length` characters of base62. Bytes above the largest multiple of 62 are dropped, so every character is equally likely. */
export function randomBase62(length: number): string {
  let text = '';
  while (text.length < length) {
    const byte = nextByte();
    if (byte < 248) text += alphabet[byte % 62];
  }
  return text;
}

export type IdPrefix = 'acc' | 'usr' | 'key' | 'cred' | 'call' | 'aud' | 'req' | 'inst' | 'ses' | 'lim' | 'iss' | 'grp';

export function newId<P extends IdPrefix>(prefix: P): `${P}_${string}` {
  return `${prefix}_${randomBase62(22)}`;
}

/** `{slug-of-name}-{8 hex}`. A name without a single letter or digit still gives a usable slug. */
export function newServerId(name: string): string {
  const slug = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '');
  let suffix = '';
  for (let i = 0; i < 4; i++) suffix += nextByte().toString(16).padStart(2, '0');
  return `${slug || 'server'}-${suffix}`;
}
