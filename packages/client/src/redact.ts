// What printing shows instead of secrets: for our own objects, for one-time values in answers and for text that came from outside.
// Pure; must not decide what is secret, callers name it.

const masked = '[secret]';
const inspectKeys = [Symbol.for('nodejs.util.inspect.custom'), Symbol.for('Deno.customInspect')];

type Inspect = (value: unknown, options?: object) => string;

/**
 * Makes console.log, util.inspect and JSON.stringify of `target` show what `view` returns. The additions are not enumerable.
 * `line` writes the inspected form itself, for errors that lead with their stack.
 */
export function printAs<T extends object>(
  target: T,
  view: () => unknown,
  line?: (inspect: (value: unknown) => string) => string,
): T {
  const hidden = { enumerable: false, configurable: true, writable: true };
  Object.defineProperty(target, 'toJSON', { ...hidden, value: view });
  for (const key of inspectKeys) {
    Object.defineProperty(target, key, {
      ...hidden,
      // Node passes (depth, options, inspect), Deno (inspect, options).
      value: (first: unknown, options: object, third?: Inspect) => {
        const inspect = third ?? (typeof first === 'function' ? (first as Inspect) : undefined);
        const show = (value: unknown) => (inspect ? inspect(value, options) : JSON.stringify(value));
        return line ? line(show) : show(view());
      },
    });
  }
  return target;
}

/** An answer that carries a secret once: the named properties stay ordinary strings and print as `[secret]`. */
export function maskOneTime(data: unknown, keys: readonly string[] | undefined): unknown {
  if (!keys || typeof data !== 'object' || data === null) return data;
  return printAs(data, () =>
    Object.fromEntries(
      Object.entries(data).map(([key, value]) => [
        key,
        keys.includes(key) && typeof value === 'string' ? masked : value,
      ]),
    ),
  );
}

/** Replaces every occurrence of the given secrets, also percent-encoded. Texts of servers may echo what was sent. */
export function scrub(text: string, secrets: readonly string[]): string {
  let clean = text;
  for (const secret of secrets) {
    // Shorter ones would blank out ordinary words and protect nothing.
    if (secret.length < 4) continue;
    clean = clean.replaceAll(secret, masked);
    const encoded = encodeURIComponent(secret);
    if (encoded !== secret) clean = clean.replaceAll(encoded, masked);
  }
  return clean;
}

/** `scrub` for every text inside a parsed JSON value, keys included. */
export function scrubDeep(value: unknown, secrets: readonly string[]): unknown {
  if (secrets.length === 0 || value === undefined) return value;
  if (typeof value === 'string') return scrub(value, secrets);
  if (Array.isArray(value)) return value.map((entry) => scrubDeep(entry, secrets));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [scrub(key, secrets), scrubDeep(entry, secrets)]),
  );
}

/** The name of what was thrown, if it looks like one: its text may hold anything. */
export function nameOf(error: unknown): string {
  const name = error instanceof Error ? error.name : typeof error;
  return /^\w{1,64}$/.test(name) ? name : 'Error';
}
