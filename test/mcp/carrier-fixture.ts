// What the suites about the sdk carrier share: a carrier, connectors and users around fixture upstreams, without a gateway.
// Asserts nothing.
import { onTestFinished } from 'vitest';
import {
  type CallerSession,
  type Carrier,
  type Upstream,
  UpstreamFailure,
} from '../../packages/server/src/connectors/backend.ts';
import { createSdkCarrier } from '../../packages/server/src/connectors/backends/mcp-http-sdk.ts';
import { createEgress } from '../../packages/server/src/connectors/egress.ts';
import { keyFor } from '../../packages/server/src/connectors/forward.ts';
import { createScrub } from '../../packages/server/src/connectors/scrub.ts';
import type { ConnectorRecord } from '../../packages/server/src/identity/records.ts';
import { type EverythingOptions, type EverythingUpstream, startEverything } from '../support/everything/http.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';

export const secret = 'canary-secret-0123456789';

/** Closed with the test. */
export function startCarrier(): Carrier {
  const egress = createEgress({ allowedCidrs: ['127.0.0.0/8'] });
  const carrier = createSdkCarrier({
    egress,
    maxBytes: 1024 * 1024,
    clientInfo: { name: 'MCP Valet', version: '9.9.9' },
  });
  onTestFinished(async () => {
    await carrier.close();
    await egress.close();
  });
  return carrier;
}

/** An upstream of the 2025 era with sessions, unless told otherwise. Closed with the test. */
export async function startUpstream(options: EverythingOptions = {}): Promise<EverythingUpstream> {
  const upstream = await startEverything({ eras: ['legacy'], record: true, ...options });
  onTestFinished(() => upstream.close());
  return upstream;
}

export function connectorAt(url: string, fields: Partial<ConnectorRecord> = {}): ConnectorRecord {
  return {
    id: 'fixture',
    accountId: 'acc',
    name: 'Fixture',
    description: null,
    category: [],
    kind: 'mcp-http',
    entry: null,
    auth: null,
    oauth: null,
    allowShared: false,
    requires: null,
    url,
    headers: { 'X-Fixed': 'yes' },
    transport: 'streamable-http',
    inject: { headers: { authorization: 'Bearer {{FIXTURE_TOKEN}}' }, query: { as: '{{user.username}}' } },
    secretNames: ['FIXTURE_TOKEN'],
    requiredSecrets: ['FIXTURE_TOKEN'],
    timeoutMs: null,
    enabled: true,
    version: 1,
    ...fields,
  };
}

export function upstreamFor(username: string, connector: ConnectorRecord, session?: CallerSession): Upstream {
  return {
    key: keyFor(connector, { id: username }, null, session),
    connector,
    user: { id: username, username },
    credentialId: null,
    secrets: new Map([['FIXTURE_TOKEN', secret]]),
    scrub: createScrub([secret]),
    session,
  };
}

export const within = (ms = 8_000): AbortSignal => AbortSignal.timeout(ms);
export const toolCall = (name: string, args: Record<string, unknown> = {}, signal = within()) => ({
  method: 'tools/call',
  params: { name, arguments: args },
  signal,
});

export async function failureOf(promise: Promise<unknown>): Promise<UpstreamFailure> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof UpstreamFailure) return outcome;
  throw new Error(`expected a failure of the upstream, got ${String(outcome)}`);
}

export const methodOf = ({ body }: RecordedRequest): string =>
  body.length === 0 ? '' : String((JSON.parse(body.toString('utf8')) as { method?: string }).method);
export const initializes = (upstream: EverythingUpstream): RecordedRequest[] =>
  upstream.recorded.filter((request) => methodOf(request) === 'initialize');
