// What goes in and out of the gate: who asks, who waits, who may go, and why somebody may not. No state.
import type { Entry } from './gate-entry.ts';
import type { GateOptions, RateLimitMode, RateLimitSnapshot } from './gate-options.ts';
import type { Ticket } from './gate-window.ts';

/** What a request counts against: the calls of a user, the lists of a user, or the management of a credential. */
export type GateScope = 'calls' | 'lists' | 'management';

/** One request that wants to go. */
export interface Ask {
  scope: GateScope;
  /** `''`: the key's own user, or nobody in particular. */
  user: string;
  mode: RateLimitMode;
  options: GateOptions;
  /** Milliseconds that mode `auto` may still wait. */
  patienceMs: number;
  /** When the call ends, on the gate's clock. */
  deadlineAt: number | undefined;
  /** It was there before, so it goes before those who wait. */
  isBack: boolean;
}

/** Why a request may not go. */
export interface Denial {
  ok: false;
  /** `limited`: would take too long. `deadline`: the call ended first. `full`: too many wait. */
  why: 'limited' | 'deadline' | 'full';
  retryAfterMs: number | undefined;
  policy: string | undefined;
}

export interface Pass extends Ticket {
  ok: true;
  /** Absent when there are more users than may be remembered: then the server decides. */
  readonly entry: Entry<Waiter> | undefined;
  readonly scope: GateScope;
}

export interface Waiter {
  readonly ask: Ask;
  readonly giveUpAt: number;
  readonly entry: Entry<Waiter>;
  readonly settle: (result: Pass | Denial) => void;
}

/** What a JSON-RPC method counts against at the gateway; `undefined`: nothing. */
export function scopeOfMethod(method: string | undefined): GateScope | undefined {
  if (method === undefined || method.startsWith('notifications/')) return undefined;
  return method === 'tools/call' || method === 'prompts/get' || method === 'resources/read' ? 'calls' : 'lists';
}

export const nothingKnown: RateLimitSnapshot = Object.freeze({
  policy: undefined,
  limit: undefined,
  windowMs: undefined,
  remaining: undefined,
  retryAfterMs: 0,
  inFlight: 0,
  waiting: 0,
});

/** Milliseconds from now; nothing when only an answer can tell. */
export const waitOf = (at: number, now: number): number | undefined =>
  Number.isFinite(at) ? Math.max(0, Math.ceil(at - now)) : undefined;

export const deny = (why: Denial['why'], retryAfterMs: number | undefined, policy: string | undefined): Denial => ({
  ok: false,
  why,
  retryAfterMs,
  policy: policy || undefined,
});
