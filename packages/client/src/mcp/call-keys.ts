// From a framework's tool call id to an idempotency key. Ids such as `call_1` are reused by providers and local models, so an id alone
// never names a call: it would replay yesterday's answer.
import { AbortError, OutcomeUnknownError } from '../errors.ts';

const maxRemembered = 1000;
const rememberedMs = 600_000;

/** JSON with sorted keys: a store between two processes may reorder them. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

async function sha256(text: string): Promise<string> {
  const bytes = await globalThis.crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

interface Remembered {
  key: string;
  until: number;
}

/** The keys of one set of tools. */
export class CallKeys {
  readonly #userId: string;
  readonly #runId: string | undefined;
  readonly #unknown = new Map<string, Remembered>();

  /** With `runId`: stable over processes, so that a resumed run does not do again what it has done. */
  constructor(userId: string, runId: string | undefined) {
    this.#userId = userId;
    this.#runId = runId;
  }

  /** Runs a call under its key; `undefined` leaves the choice to the call itself. A key whose call ended unknown is used once more. */
  async run<T>(
    toolCallId: string | undefined,
    tool: string,
    args: object,
    call: (key: string | undefined) => Promise<T>,
  ): Promise<T> {
    if (toolCallId === undefined) return call(undefined);
    const name = canonicalJson([this.#userId, toolCallId, tool, args]);
    if (this.#runId !== undefined) return call(await sha256(canonicalJson([this.#runId, name])));
    const before = this.#unknown.get(name);
    this.#unknown.delete(name);
    try {
      return await call(before && performance.now() < before.until ? before.key : undefined);
    } catch (error) {
      const mayRun = error instanceof OutcomeUnknownError || (error instanceof AbortError && error.executed !== 'no');
      if (mayRun && error.idempotencyKey !== undefined) this.#remember(name, error.idempotencyKey);
      throw error;
    }
  }

  #remember(name: string, key: string): void {
    const [oldest] = this.#unknown.keys();
    if (this.#unknown.size >= maxRemembered && oldest !== undefined) this.#unknown.delete(oldest);
    this.#unknown.set(name, { key, until: performance.now() + rememberedMs });
  }
}
