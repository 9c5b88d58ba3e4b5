// A value that must not be shown by accident. Hides nothing from whoever asks for it.
import { inspect } from 'node:util';

/** A value that must be asked for: printing, JSON and inspection show `[secret]`. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '[secret]';
  }
  toJSON(): string {
    return '[secret]';
  }
  [inspect.custom](): string {
    return '[secret]';
  }
}
