// What the gateway's parts tell about their work, and what they tell it to when nobody wants to know. No library is known here.
// Nothing that names a user, a key, an argument or a value is ever told.

/** One call of the call plane, when it is over. */
export interface CallSeen {
  serverId: string | null;
  /** `connector.action`, or the name of one of our own tools; null where the call ended before it was known. */
  tool: string | null;
  /** Whether the tool exists: it is ours, or an upstream was asked. Callers may write anything. */
  isKnown: boolean;
  /** As in the journal, or `refused` where the journal has no row. */
  outcome: string;
  lane: string;
  seconds: number;
  upstreamSeconds: number;
}

export interface RequestSeen {
  method: string;
  /** The pattern, never the path. */
  route: string;
  status: number;
  seconds: number;
}

export interface Metrics {
  /** A call began; `ended` says what became of it. */
  began(): void;
  ended(call: CallSeen): void;
  request(seen: RequestSeen): void;
  /** Whatever was thrown: refusals count, once each, however often they are told of. */
  refused(error: unknown): void;
  /** An OAuth token was renewed, or could not be. */
  refreshed(outcome: 'ok' | 'failed'): void;
  /** A statement or transaction; `failure` says why the database was not available. */
  databaseWork(seconds: number, failure: string | undefined): void;
}

const nothing = (): void => undefined;

export const noMetrics: Metrics = {
  began: nothing,
  ended: nothing,
  request: nothing,
  refused: nothing,
  refreshed: nothing,
  databaseWork: nothing,
};

/** What is looked at when somebody asks, instead of being told. */
export interface Gauges {
  isDatabaseReachable(): boolean;
  journalQueue(): { intents: number; outcomes: number };
  open(): Readonly<Record<'sessions' | 'streams' | 'exchanges', number>>;
  stdioChildren(): number;
  bodyBytes(): number;
  /** Requests turned away, by reason. */
  overload(): ReadonlyMap<string, number>;
  sealingLagMs(): number;
  limiter(): { ok: boolean; liveReplicas: number; failures: number; ownDecisions: number };
}

/** Metrics that can be read. */
export interface Exposition extends Metrics {
  /** From now on the answers look there. */
  watch(gauges: Gauges): void;
  readonly contentType: string;
  text(): Promise<string>;
}
