// Idempotency keys, and what this client believes about the server's promise to honour them.
import { checkHeaderValue } from './paths.ts';

/** How long a promise is believed after it was last seen. */
const verdictLifeMs = 600_000;
const maxKeyLength = 255;

/** 128 random bits in hex. */
export function randomKey(): string {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export const checkKey = (key: unknown): string => checkHeaderValue(key, 'idempotencyKey', maxKeyLength);

/** The server's promise: `Valet-Idempotency: ttl=86400, epoch="…", durable`. */
export interface IdempotencyPromise {
  ttlMs: number;
  /** Names the journal segment; a re-send echoes it. */
  epoch: string;
  /** The journal survives a restart. */
  durable: boolean;
}

/** Reads the header; anything malformed is no promise. */
export function parsePromise(header: string | null): IdempotencyPromise | undefined {
  if (header === null) return undefined;
  const parts = header.split(',').map((part) => part.trim());
  const ttl = parts.map((part) => /^ttl=(\d{1,9})$/.exec(part)?.[1]).find((found) => found !== undefined);
  const epoch = parts
    .map((part) => /^epoch="([\x21\x23-\x7e]{1,128})"$/.exec(part)?.[1])
    .find((found) => found !== undefined);
  if (ttl === undefined || epoch === undefined) return undefined;
  return { ttlMs: Number(ttl) * 1000, epoch, durable: parts.includes('durable') };
}

/** What is believed of one server and credential. */
export class Verdict {
  #promise: IdempotencyPromise | undefined;
  #seenAt = 0;

  current(nowMs: number): IdempotencyPromise | undefined {
    return this.#promise && nowMs - this.#seenAt < verdictLifeMs ? this.#promise : undefined;
  }

  /** A success without the header ends the belief; a failure without it may come from a proxy and does not. */
  learn(headers: Headers, ok: boolean, nowMs: number): void {
    const promise = parsePromise(headers.get('valet-idempotency'));
    if (promise) {
      this.#promise = promise;
      this.#seenAt = nowMs;
    } else if (ok) {
      this.#promise = undefined;
    }
  }
}
