// Chooses whether requests are traced: with a collector's address the library is loaded, without one nothing is.
import type { Config } from '../config.ts';
import { noTracing, type Tracing } from './port.ts';

export type RequestTracing = Tracing & { started?: (raw: Parameters<Tracing['of']>[0]) => void };

/** `name=value,name=value`, values percent-encoded, as OpenTelemetry has it. */
function headersIn(text: string): Record<string, string> {
  const pairs = text.split(',').flatMap((pair) => {
    const at = pair.indexOf('=');
    return at < 1 ? [] : [[pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())] as const];
  });
  return Object.fromEntries(pairs);
}

export async function openTracing(traces: Config['traces'], version: string): Promise<RequestTracing> {
  if (traces === undefined) return noTracing;
  const { createTracing } = await import('./otlp.ts');
  return createTracing({
    url: traces.url,
    headers: headersIn(traces.headers?.reveal() ?? ''),
    serviceName: traces.serviceName,
    version,
  });
}
