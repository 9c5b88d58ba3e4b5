// A user who is known by a token only: what stands for them in this process. Never the token itself, never anything to find it by.
import type { TokenSource } from './options.ts';
import { revealed } from './secret.ts';
import { hash } from './short-hash.ts';

const functions = new WeakMap<object, number>();
let last = 0;
let salt: string | undefined;

/** A name for the gate. The same token has the same, and so has the same function. No user id can be like it: those are printable. */
export function gateNameOf(source: TokenSource): string {
  if (typeof source !== 'function') {
    salt ??= globalThis.crypto.randomUUID();
    const text = revealed(source) ?? '';
    return `\0${hash(salt + text)}${hash(text + salt)}`;
  }
  const known = functions.get(source) ?? ++last;
  functions.set(source, known);
  return `\0${known}`;
}
