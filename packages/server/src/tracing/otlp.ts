// Traces to an OpenTelemetry collector, by OTLP over HTTP. Loaded only where a collector is named. Sends to that collector and to nobody else; a
// collector that is away costs spans, never calls. Nothing is registered globally: spans are handed on by hand.
import type { IncomingMessage } from 'node:http';
import {
  type Context,
  createTraceState,
  type Span as OtelSpan,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import {
  type Attributes,
  incomingContext,
  type RequestTrace,
  type Span,
  type TraceContext,
  type Tracing,
} from './port.ts';

export interface CollectorOptions {
  /** Where spans are posted to. */
  url: string;
  headers: Record<string, string>;
  serviceName: string;
  version: string;
}

const closeWithinMs = 2_000;

interface Held {
  startedAt: number;
  span?: OtelSpan;
}

const contextOf = (span: OtelSpan): TraceContext => {
  const { traceId, spanId, traceFlags, traceState } = span.spanContext();
  const state = traceState?.serialize();
  return {
    traceparent: `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`,
    ...(state && { tracestate: state }),
  };
};

function parentOf(context: TraceContext | undefined): Context {
  if (context === undefined) return ROOT_CONTEXT;
  const [, traceId = '', spanId = '', flags = '00'] = context.traceparent.split('-');
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & 1,
    isRemote: true,
    ...(context.tracestate !== undefined && { traceState: createTraceState(context.tracestate) }),
  });
}

const known = (attributes: Attributes = {}): Record<string, string | number | boolean> =>
  Object.fromEntries(
    Object.entries(attributes).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );

function finish(span: OtelSpan, attributes?: Attributes, failure?: string): void {
  span.setAttributes(known(attributes));
  if (failure !== undefined) {
    span.setAttribute('error.type', failure);
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
  span.end();
}

/** `started`: called at the beginning of each request, so that its span has the right start. */
export function createTracing(options: CollectorOptions): Tracing & { started(raw: IncomingMessage): void } {
  const exporter = new OTLPTraceExporter({ url: options.url, headers: options.headers, timeoutMillis: 5_000 });
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ 'service.name': options.serviceName, 'service.version': options.version }),
    spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 1_000 })],
  });
  const tracer = provider.getTracer('mcp-valet', options.version);
  const requests = new WeakMap<IncomingMessage, Held>();

  /** Begun when it is first asked for: only then is it known what the caller's message says of its trace. */
  const spanOf = (raw: IncomingMessage, meta: unknown): OtelSpan => {
    const held = requests.get(raw) ?? { startedAt: Date.now() };
    requests.set(raw, held);
    held.span ??= tracer.startSpan(
      'request',
      { kind: SpanKind.SERVER, startTime: held.startedAt },
      parentOf(incomingContext(raw, meta)),
    );
    return held.span;
  };

  return {
    started: (raw) => void requests.set(raw, { startedAt: Date.now() }),
    of(raw, meta): RequestTrace {
      const parent = trace.setSpan(ROOT_CONTEXT, spanOf(raw, meta));
      return {
        child(name, kind, attributes): Span {
          const span = tracer.startSpan(
            name,
            { kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL, attributes: known(attributes) },
            parent,
          );
          return { context: contextOf(span), end: (more, failure) => finish(span, more, failure) };
        },
      };
    },
    ended(raw, { method, route, status, requestId }) {
      const span = spanOf(raw, undefined);
      requests.delete(raw);
      span.updateName(`${method} ${route}`);
      finish(
        span,
        {
          'http.request.method': method,
          'http.route': route,
          'http.response.status_code': status,
          'valet.request_id': requestId,
        },
        status >= 500 ? String(status) : undefined,
      );
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, closeWithinMs);
      });
      // A collector that is away must not hold the end up; what it does not take is lost.
      await Promise.race([provider.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
    },
  };
}
