// Which server and tool a call is counted under. Names of tools come from upstreams and callers, so there may be any number of them: a series is
// kept for each for ever. Beyond the bounds a call counts as `other`, first within its server, then altogether. Pure.

export interface CallLabels {
  server: string;
  tool: string;
}

const other = 'other';
/** A name that nothing has shown to exist takes no series of its own. */
const unknown = 'unknown';

export class LabelSets {
  readonly #sets = new Map<string, Map<string, CallLabels>>();
  readonly #maxSets: number;
  readonly #maxPerServer: number;
  #size = 0;

  constructor(maxSets = 1_000, maxPerServer = 100) {
    this.#maxSets = maxSets;
    this.#maxPerServer = maxPerServer;
  }

  /** Sets in use, the last `other` of all included. */
  get size(): number {
    return this.#size;
  }

  of(server: string, tool: string, isKnown: boolean): CallLabels {
    const kept = this.#sets.get(server);
    const found = kept?.get(tool);
    if (found !== undefined) return found;
    if (!isKnown) return this.#add(server, unknown);
    return this.#add(server, (kept?.size ?? 0) < this.#maxPerServer ? tool : other);
  }

  #add(server: string, tool: string): CallLabels {
    let kept = this.#sets.get(server);
    const found = kept?.get(tool);
    if (found !== undefined) return found;
    const isLast = server === other;
    if (this.#size >= this.#maxSets - 1 && !isLast) return this.#add(other, other);
    if (kept === undefined) {
      kept = new Map();
      this.#sets.set(server, kept);
    }
    const labels = { server, tool };
    kept.set(tool, labels);
    this.#size++;
    return labels;
  }
}
