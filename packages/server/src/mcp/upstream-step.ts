// Steps that go to an upstream: one tool, prompt or resource of one connector. Builds what leaves (own name, injected arguments, headers
// of the modern era) and takes in what comes back. Never sends anything itself: `carriers.request` does.
import { performance } from 'node:perf_hooks';
import { type Upstream, UpstreamFailure, type UpstreamRequest } from '../connectors/backend.ts';
import { injectArguments } from '../connectors/inject.ts';
import type { ListItem } from '../connectors/lists.ts';
import { sizeResult } from '../connectors/openapi/size.ts';
import { mirroredParameters, paramHeaders, scanParamHeaders } from '../connectors/param-headers.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import { type Answer, resultAnswer } from './answer.ts';
import type { Step } from './call.ts';
import { clockOf } from './clock.ts';
import type { ConnectDialog } from './connect.ts';
import { isObject, RpcError } from './jsonrpc.ts';
import type { UserCall } from './request.ts';
import { stripResult } from './result.ts';

/** What one lane or endpoint adds to a call: what of the caller travels, and who listens before the result. */
export interface Relay {
  clientCapabilities?: Record<string, unknown> | undefined;
  /** Caller's `_meta` that may travel: trace context and vendor keys. */
  meta?: Record<string, unknown> | undefined;
  onNotification?: UpstreamRequest['onNotification'];
  wantsProgress?: boolean | undefined;
  logLevel?: string | undefined;
  /** Puts an upstream's question to the caller, where a session can carry it. */
  ask?: UpstreamRequest['ask'];
  /** Maps an upstream's URI to the one published here. */
  publishUri?: ((uri: string) => string) | undefined;
  /** The result of a REST connector is wanted whole. */
  fullResult?: boolean | undefined;
  /** The way to ask this caller's user to connect an account; what is asked there never reaches an upstream. */
  dialog?: ConnectDialog | undefined;
  /** `inputResponses` and the opened upstream `requestState` of a retried interactive call. */
  retry?: { inputResponses?: unknown; requestState?: string } | undefined;
  /** Seals an upstream's `requestState` for the caller; without it an interactive result is an error. */
  sealState?: ((state: string) => string) | undefined;
}

export interface ToolTarget {
  connector: ConnectorRecord;
  /** The tool as the upstream lists it. */
  item: ListItem;
  arguments: Record<string, unknown>;
  credentialId?: string | undefined;
  timeoutMs?: number | undefined;
}

export const timeoutOf = (call: UserCall, connector: ConnectorRecord, wished?: number): number =>
  wished ?? connector.timeoutMs ?? call.parts.config.limits.callTimeoutMs;

/** What a span may say of a failure: its kind, of our own table. */
const failureKind = (error: unknown): string => (error instanceof UpstreamFailure ? error.kind : 'failed');

async function ask(call: UserCall, upstream: Upstream, request: UpstreamRequest, relay: Relay): Promise<Answer> {
  const { connector } = upstream;
  // A resource is named by its URI, which may hold anything of its user.
  const named = request.method === 'resources/read' ? undefined : request.params['name'];
  const span = call.trace?.child(request.method, 'client', {
    'mcp.method.name': request.method,
    'valet.connector': connector.id,
    'valet.server': call.server?.id,
    'gen_ai.tool.name': typeof named === 'string' ? named : undefined,
  });
  const beganAt = performance.now();
  try {
    const carried = span?.context && { ...span.context };
    const answer = await exchange(
      call,
      upstream,
      { ...request, traceHeaders: carried },
      carried === undefined ? relay : { ...relay, meta: { ...relay.meta, ...carried } },
    );
    span?.end({ 'valet.outcome': answer.outcome.outcome, 'http.response.status_code': answer.outcome.upstreamStatus });
    return answer;
  } catch (error) {
    span?.end({}, failureKind(error));
    throw error;
  } finally {
    clockOf(request.signal)?.waited(performance.now() - beganAt);
  }
}

async function exchange(call: UserCall, upstream: Upstream, request: UpstreamRequest, relay: Relay): Promise<Answer> {
  const params = {
    ...request.params,
    ...(relay.retry?.inputResponses !== undefined && { inputResponses: relay.retry.inputResponses }),
    ...(relay.retry?.requestState !== undefined && { requestState: relay.retry.requestState }),
  };
  const { result, status } = await call.parts.carriers.request(upstream, {
    ...request,
    params,
    clientCapabilities: relay.clientCapabilities,
    meta: relay.meta,
    wantsProgress: relay.wantsProgress,
    logLevel: relay.logLevel,
    ...liveParts(upstream, request.signal, relay),
  });
  return readResult(result, status, relay, upstream);
}

/** What happens before the result moves the call's clock: progress gives it more time, and a person's answer is waited for off the clock. */
function liveParts(
  upstream: Upstream,
  signal: AbortSignal,
  relay: Relay,
): Pick<UpstreamRequest, 'ask' | 'onNotification'> {
  const { ask: askCaller, onNotification } = relay;
  const clock = clockOf(signal);
  return {
    onNotification:
      onNotification &&
      ((notification) => {
        if (notification.method === 'notifications/progress') clock?.extend();
        onNotification(notification);
      }),
    ask:
      askCaller &&
      (async (question) => {
        const release = clock?.hold();
        try {
          return await askCaller(nameUrlQuestion(question, upstream));
        } finally {
          release?.();
        }
      }),
  };
}

/** Whoever is sent to a page must know who sends them. */
function nameUrlQuestion<Q extends { method?: unknown; params?: unknown }>(question: Q, { connector }: Upstream): Q {
  const { method, params } = question;
  if (method !== 'elicitation/create' || !isObject(params) || params['mode'] !== 'url') return question;
  const message = typeof params['message'] === 'string' ? params['message'] : '';
  return { ...question, params: { ...params, message: `${connector.name}: ${message}` } };
}

function readResult(result: Record<string, unknown>, status: number | null, relay: Relay, upstream: Upstream): Answer {
  const type = result['resultType'];
  if (type === undefined || type === 'complete')
    return resultAnswer(publishUris(stripResult(result), relay.publishUri), status);
  if (type !== 'input_required' || relay.sealState === undefined) {
    return unsupported('The upstream asked for something that cannot be passed on here');
  }
  const requests = isObject(result['inputRequests']) ? result['inputRequests'] : {};
  const missing = undeclared(requests, relay.clientCapabilities ?? {});
  if (missing !== undefined) {
    throw new RpcError(-32021, `The client did not declare the capability ${missing}`, {
      status: 400,
      data: { requiredCapabilities: { [missing]: {} } },
    });
  }
  const { requestState, ...stripped } = stripResult(result);
  const named = Object.entries(requests).map(([key, question]) => [
    key,
    isObject(question) ? nameUrlQuestion(question, upstream) : question,
  ]);
  const answer = resultAnswer({
    ...stripped,
    ...(named.length > 0 && { inputRequests: Object.fromEntries(named) as Record<string, unknown> }),
    ...(typeof requestState === 'string' && { requestState: relay.sealState(requestState) }),
  });
  // Nothing ran to an end: the same key may carry the retry.
  return { ...answer, inputRequired: true, keep: 'released' };
}

/** URIs of resource links, embedded resources and read contents as this endpoint publishes them. */
function publishUris(result: Record<string, unknown>, publish: Relay['publishUri']): Record<string, unknown> {
  if (publish === undefined) return result;
  const withUri = (entry: unknown): unknown =>
    isObject(entry) && typeof entry['uri'] === 'string' ? { ...entry, uri: publish(entry['uri']) } : entry;
  const block = (entry: unknown): unknown => {
    if (!isObject(entry)) return entry;
    if (entry['type'] === 'resource_link') return withUri(entry);
    return entry['type'] === 'resource' ? { ...entry, resource: withUri(entry['resource']) } : entry;
  };
  const { content, contents, messages } = result;
  return {
    ...result,
    ...(Array.isArray(content) && { content: content.map(block) }),
    ...(Array.isArray(contents) && { contents: contents.map(withUri) }),
    ...(Array.isArray(messages) && {
      messages: messages.map((message: unknown) =>
        isObject(message) ? { ...message, content: block(message['content']) } : message,
      ),
    }),
  };
}

const capabilityOf: Record<string, string> = {
  'elicitation/create': 'elicitation',
  'sampling/createMessage': 'sampling',
  'roots/list': 'roots',
};

/** The first capability that an upstream's questions need and the caller did not declare. */
function undeclared(requests: Record<string, unknown>, declared: Record<string, unknown>): string | undefined {
  for (const request of Object.values(requests)) {
    const method = isObject(request) ? request['method'] : undefined;
    const capability = typeof method === 'string' ? capabilityOf[method] : undefined;
    if (capability === undefined) return 'elicitation';
    if (!Object.hasOwn(declared, capability)) return capability;
  }
  return undefined;
}

const unsupported = (text: string): Answer => resultAnswer({ content: [{ type: 'text', text }], isError: true });

export function toolStep(call: UserCall, target: ToolTarget, label: string, relay: Relay): Step {
  const { connector, item } = target;
  const name = String(item['name']);
  return {
    label,
    target: { connector, action: name },
    input: { connector: connector.id, name, arguments: target.arguments },
    credential: { use: 'choose', argument: target.credentialId },
    isLocalRead: false,
    dialog: relay.dialog,
    timeoutMs: timeoutOf(call, connector, target.timeoutMs),
    async run(upstream, signal) {
      if (upstream === null) throw new Error('a tool step runs with an opened upstream');
      const scan = scanParamHeaders(item['inputSchema']);
      const declared = scan.valid ? scan.headers : [];
      const args = injectArguments(
        target.arguments,
        // Null is a REST connector's: its document says where secrets go, and never into arguments.
        // A REST connector that does not say where leaves it to its document.
        connector.inject ?? {},
        upstream.secrets,
        upstream.user,
        mirroredParameters(declared),
      );
      const request = {
        method: 'tools/call',
        params: { name, arguments: args },
        paramHeaders: paramHeaders(declared, args),
        signal,
      };
      const answer = await ask(call, upstream, request, relay);
      const isWhole = connector.kind !== 'http' || (relay.fullResult ?? call.server?.fullResults) === true;
      return isWhole ? answer : { ...answer, result: sized(answer.result) };
    },
  };
}

/** A large REST reply as a model can read it. */
function sized(result: Record<string, unknown>): Record<string, unknown> {
  const { content, structuredContent } = result;
  const block = Array.isArray(content) && content.length === 1 ? (content[0] as unknown) : undefined;
  if (result['isError'] === true || !isObject(block) || typeof block['text'] !== 'string') return result;
  const body: unknown = structuredContent ?? jsonArrayIn(block['text']);
  const shown = sizeResult(body);
  if (shown === body) return result;
  return { ...result, content: [{ type: 'text', text: JSON.stringify(shown) }], structuredContent: shown };
}

/** A reply that is an array has no `structuredContent`: only objects may stand there. */
function jsonArrayIn(text: string): unknown {
  if (!text.startsWith('[')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // Text that begins like an array is still only text.
    return undefined;
  }
}

export function promptStep(
  call: UserCall,
  connector: ConnectorRecord,
  name: string,
  args: unknown,
  relay: Relay,
): Step {
  return {
    label: `prompts/get ${name}`,
    target: { connector, action: name },
    input: { connector: connector.id, name, arguments: args },
    credential: { use: 'choose' },
    isLocalRead: false,
    dialog: relay.dialog,
    timeoutMs: timeoutOf(call, connector),
    async run(upstream, signal) {
      if (upstream === null) throw new Error('a prompt step runs with an opened upstream');
      const params = { name, ...(args !== undefined && { arguments: args }) };
      return ask(call, upstream, { method: 'prompts/get', params, signal }, relay);
    },
  };
}

export function resourceStep(call: UserCall, connector: ConnectorRecord, uri: string, relay: Relay): Step {
  return {
    label: `resources/read ${uri}`,
    target: { connector, action: uri },
    input: { connector: connector.id, uri },
    credential: { use: 'choose' },
    isLocalRead: false,
    dialog: relay.dialog,
    timeoutMs: timeoutOf(call, connector),
    async run(upstream, signal) {
      if (upstream === null) throw new Error('a resource step runs with an opened upstream');
      return ask(call, upstream, { method: 'resources/read', params: { uri }, signal }, relay);
    },
  };
}
