// Keeps an outage from being multiplied: retries spend tokens, successes earn them. One per client, shared by `withOptions`.

const capacity = 500;
const costs = { limited: 5, other: 14 } as const;

export class RetryBudget {
  #tokens: number = capacity;

  affords(kind: keyof typeof costs): boolean {
    return this.#tokens >= costs[kind];
  }

  spend(kind: keyof typeof costs): void {
    this.#tokens -= costs[kind];
  }

  /** A success earns one token; one that needed retries earns back what they cost. */
  earn(spent: number): void {
    this.#tokens = Math.min(capacity, this.#tokens + Math.max(1, spent));
  }

  static cost(kind: keyof typeof costs): number {
    return costs[kind];
  }
}
