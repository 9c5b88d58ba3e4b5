// Traces as the gateway's parts see them: W3C trace context in, spans for what a request waits for, context out to upstreams. No library is
// known here. Attributes are ids of servers and connectors, names of tools and words of ours: never users, arguments, addresses or secrets.
import type { IncomingMessage } from 'node:http';

/** https://www.w3.org/TR/trace-context/: what travels. `baggage` does not: it may hold anything. */
export interface TraceContext {
  traceparent: string;
  tracestate?: string;
}

export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

export interface Span {
  /** For whoever is asked on behalf of it; undefined where no trace is. */
  readonly context: TraceContext | undefined;
  /** `failure`: a word of ours; undefined where all went well. */
  end(attributes?: Attributes, failure?: string): void;
}

export interface RequestTrace {
  child(name: string, kind: 'internal' | 'client', attributes?: Attributes): Span;
}

export interface RequestFacts {
  method: string;
  /** The pattern, never the path. */
  route: string;
  status: number;
  requestId: string;
}

export interface Tracing {
  /** The trace that a request belongs to. `meta`: the caller's `_meta`, which goes before the headers. */
  of(raw: IncomingMessage, meta?: unknown): RequestTrace;
  /** The request is over. */
  ended(raw: IncomingMessage, facts: RequestFacts): void;
  /** Sends what is still held. */
  close(): Promise<void>;
}

const parentGrammar = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const stateGrammar = /^[\x20-\x7e]{1,512}$/;

function contextFrom(parent: unknown, state: unknown): TraceContext | undefined {
  if (typeof parent !== 'string' || !parentGrammar.test(parent)) return undefined;
  return { traceparent: parent, ...(typeof state === 'string' && stateGrammar.test(state) && { tracestate: state }) };
}

/** What came in, if it is well-formed; anything else counts as absent, as the specification has it. */
export function incomingContext(
  { headers }: Pick<IncomingMessage, 'headers'>,
  meta: unknown,
): TraceContext | undefined {
  if (typeof meta === 'object' && meta !== null) {
    const { traceparent, tracestate } = meta as Record<string, unknown>;
    if (traceparent !== undefined) {
      const context = contextFrom(traceparent, tracestate);
      if (context !== undefined) return context;
    }
  }
  return headers['traceparent'] === undefined ? undefined : contextFrom(headers['traceparent'], headers['tracestate']);
}

const passing = (context: TraceContext | undefined): RequestTrace => {
  const span: Span = { context, end: () => undefined };
  return { child: () => span };
};
const empty = passing(undefined);

/** Records nothing; what came in goes on as it came. */
export const noTracing: Tracing = {
  of(raw, meta) {
    const context = incomingContext(raw, meta);
    return context === undefined ? empty : passing(context);
  },
  ended: () => undefined,
  close: async () => undefined,
};
