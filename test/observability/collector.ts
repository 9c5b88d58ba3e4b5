// A stand-in for an OpenTelemetry collector: takes OTLP over HTTP in JSON and keeps the spans. Loopback only.
import { createServer } from 'node:http';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

export interface SeenSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId: string;
  kind: number;
  attributes: Record<string, unknown>;
  isError: boolean;
}

interface Otlp {
  resourceSpans: {
    scopeSpans: {
      spans: {
        name: string;
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        kind: number;
        attributes?: { key: string; value: Record<string, unknown> }[];
        status?: { code?: number };
      }[];
    }[];
  }[];
}

export interface Collector {
  url: string;
  /** Everything that was posted, as text. */
  text(): string;
  headers(): Record<string, unknown>[];
  spans(): SeenSpan[];
  close(): Promise<void>;
}

export async function startCollector(): Promise<Collector> {
  const bodies: string[] = [];
  const heads: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      heads.push({ ...request.headers, ':path': request.url });
      bodies.push(Buffer.concat(chunks).toString('utf8'));
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  const port = await listenOnLoopback(server);
  return {
    url: `http://127.0.0.1:${port}`,
    text: () => bodies.join('\n'),
    headers: () => heads,
    spans: () =>
      bodies
        .flatMap((body) => (JSON.parse(body) as Otlp).resourceSpans)
        .flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans))
        .map(({ name, traceId, spanId, parentSpanId = '', kind, attributes = [], status }) => ({
          name,
          traceId,
          spanId,
          parentSpanId,
          kind,
          attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]])),
          isError: status?.code === 2,
        })),
    close: () => closeServer(server),
  };
}
