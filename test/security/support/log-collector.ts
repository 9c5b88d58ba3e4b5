// Takes the place of standard output for a gateway's log and searches every line as it is written. Keeps the newest lines for messages.
import type { Canaries } from './canaries.ts';

export class LogCollector {
  readonly leaks: string[] = [];
  lines = 0;
  readonly last: string[] = [];
  readonly #canaries: Canaries;
  readonly #tokens: readonly string[];

  /** `tokens` may grow while the gateway runs. */
  constructor(canaries: Canaries, tokens: readonly string[] = []) {
    this.#canaries = canaries;
    this.#tokens = tokens;
  }

  write(line: string): void {
    this.lines++;
    this.last.push(line);
    if (this.last.length > 200) this.last.shift();
    const found = this.#canaries.find(line) ?? this.#tokens.find((token) => line.includes(token));
    if (found !== undefined) this.leaks.push(`${found} in ${line.slice(0, 300)}`);
  }
}
