// A short hash without a library: for names that have to be short. Proves and hides nothing.

/** FNV-1a, for names that have to be short: not a secret, only the same everywhere. */
export function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  return (value >>> 0).toString(16).padStart(8, '0');
}
