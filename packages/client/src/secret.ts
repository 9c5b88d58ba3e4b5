// A value that cannot be printed by accident, and the one place where such values become text for the wire.
import { printAs } from './redact.ts';

const revealKey = Symbol.for('mcp-valet.secret');
const masked = '[secret]';

/** A secret text. Prints as `[secret]` in logs, templates and JSON; only `reveal()` and the SDK's own requests see the value. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    if (typeof value !== 'string') throw new TypeError('A Secret holds a string');
    this.#value = value;
    printAs(this, () => masked);
  }

  /** The text itself. */
  reveal(): string {
    return this.#value;
  }

  /** Found by its symbol, not by class: the ESM and the CommonJS build are two classes. */
  [revealKey](): string {
    return this.#value;
  }

  /** `[secret]`. */
  toString(): string {
    return masked;
  }

  [Symbol.toPrimitive](): string {
    return masked;
  }
}

/** The text of a Secret of any copy of this package, or of a plain string; `undefined` for everything else. */
export function revealed(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return undefined;
  const reveal = (value as { [revealKey]?: unknown })[revealKey];
  return typeof reveal === 'function' ? (reveal.call(value) as string) : undefined;
}

/** JSON for the wire with Secrets in clear. The second pass is paid only by bodies that contain one. */
export function toWire(body: unknown): string {
  const text = JSON.stringify(body);
  if (!text.includes(`"${masked}"`)) return text;
  return JSON.stringify(body, function (this: Record<string, unknown>, key, value) {
    const original = this[key];
    return typeof original === 'object' ? (revealed(original) ?? value) : value;
  });
}
