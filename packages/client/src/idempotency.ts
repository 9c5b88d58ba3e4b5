// Idempotency keys, and what this client believes about the server's promise to honour them.
import { headers as names } from '@mcp-valet/shared';
import { checkHeaderValue } from './paths.ts';

/** How long a promise is believed after it was last seen. */
const verdictLifeMs = 600_000;
const maxKeyLength = 255;

const keyBytes = 16;
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));
/** Drawn for many keys at once: asking the system for each costs more than the key. */
const pool = new Uint8Array(64 * keyBytes);
let used = pool.length;

/** 128 random bits in hex. */
export function randomKey(): string {
  if (used === pool.length) {
    globalThis.crypto.getRandomValues(pool);
    used = 0;
  }
  let key = '';
  for (const end = used + keyBytes; used < end; used++) key += hex[pool[used] as number];
  return key;
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

/** What is believed of one server and credential: a promise, that there is none, or nothing yet. */
export class Verdict {
  #promise: IdempotencyPromise | undefined;
  /** The header that it was read from: nearly every answer has the same. */
  #header: string | null = null;
  #seenAt = Number.NEGATIVE_INFINITY;

  current(nowMs: number): IdempotencyPromise | undefined {
    return this.isKnown(nowMs) ? this.#promise : undefined;
  }

  /** False before the first word of the server, and again when the last one is too old to be believed. */
  isKnown(nowMs: number): boolean {
    return nowMs - this.#seenAt < verdictLifeMs;
  }

  /** A success without the header ends the belief; a failure without it may come from a proxy and does not. */
  learn(headers: Headers, ok: boolean, nowMs: number): void {
    const header = headers.get(names.idempotency);
    if (header === null || header !== this.#header) {
      const promise = parsePromise(header);
      if (promise === undefined && !ok) return;
      this.#promise = promise;
      this.#header = promise === undefined ? null : header;
    }
    this.#seenAt = nowMs;
  }
}

/** The age of a key. Both clocks, because the monotonic one stands still while a machine or a function sleeps. */
export class KeyAge {
  readonly #monotonic = performance.now();
  readonly #wall = Date.now();

  ms(): number {
    return Math.max(performance.now() - this.#monotonic, Date.now() - this.#wall);
  }
}

/** Whether a re-send may rely on the promise. One first heard during this call counts only if it survives a restart in between. */
export function isPromised(
  promise: IdempotencyPromise | undefined,
  before: IdempotencyPromise | undefined,
  ageMs: number,
): boolean {
  if (!promise || ageMs > promise.ttlMs) return false;
  return promise.durable || before?.epoch === promise.epoch;
}
