// Upstream sessions that belong to one session of a caller: the upstream hears what this caller declared, may ask it, and ends with it.
// Whatever carries them, HTTP or a child process. The questions of a modern upstream are put in the same way as those of the 2025 era.
import { modernVersion } from '@mcp-valet/shared';
import {
  type CallerSession,
  type Notification,
  type Upstream,
  UpstreamFailure,
  type UpstreamRequest,
  type UpstreamResult,
  type Watch,
  type WatchEvent,
} from '../backend.ts';
import { scrubValue } from '../scrub.ts';
import type { UpstreamKey } from '../upstream-key.ts';
import { unlessAborted } from './mcp-http-sdk-failure.ts';
import type { Leg, LegListener } from './sdk-parts.ts';
import type { Watches } from './sdk-watch.ts';

const maxRounds = 10;
const openWithinMs = 20_000;

/** Opens an upstream session for a caller session, in the era of the caller unless the upstream refuses that. */
export type OpenForSession = (
  upstream: Upstream,
  session: CallerSession,
  listener: LegListener,
  signal: AbortSignal,
) => Promise<Leg>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

interface Bound {
  key: UpstreamKey;
  connecting: Promise<Leg>;
  /** Calls in flight, the newest last: an upstream does not say to which call a question belongs. */
  calls: Set<UpstreamRequest>;
  /** Of a modern upstream: what stands for `resources/subscribe`, by URI; the lists under the empty text. */
  watches: Map<string, Watch>;
}

const listChanged = (kind: string): string => `notifications/${kind}/list_changed`;

export class BoundSessions {
  readonly #openFor: OpenForSession;
  readonly #watches: Watches;
  readonly #bound = new Map<UpstreamKey, Bound>();

  constructor(watches: Watches, openFor: OpenForSession) {
    this.#watches = watches;
    this.#openFor = openFor;
  }

  async request(upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult> {
    const bound = this.#of(upstream);
    const connection = await unlessAborted(bound.connecting, request.signal);
    if (connection.discover !== undefined && /^resources\/(un)?subscribe$/.test(request.method)) {
      this.#subscribe(bound, upstream, connection.discover, request);
      return { result: {}, status: null };
    }
    bound.calls.add(request);
    try {
      const result = await connection.request(upstream, request);
      return await this.#fulfil(connection, upstream, request, result);
    } catch (error) {
      if (error instanceof UpstreamFailure && error.kind === 'session_lost') await this.#end(bound);
      throw error;
    } finally {
      bound.calls.delete(request);
    }
  }

  /** What the 2025 era asks with a request is part of a stream in the modern one. */
  #subscribe(
    bound: Bound,
    upstream: Upstream,
    discover: Record<string, unknown>,
    { method, params }: UpstreamRequest,
  ): void {
    const uri = String(params['uri']);
    bound.watches.get(uri)?.close();
    bound.watches.delete(uri);
    if (method === 'resources/subscribe') bound.watches.set(uri, this.#watch(upstream, [uri], discover));
  }

  #watch(upstream: Upstream, uris: readonly string[], discover: Record<string, unknown>): Watch {
    const heard = (event: WatchEvent): void => {
      if (event.kind !== 'updated') {
        if (uris.length === 0) upstream.session?.heard(upstream.connector, { method: listChanged(event.kind) });
        return;
      }
      upstream.session?.heard(upstream.connector, {
        method: 'notifications/resources/updated',
        params: { uri: event.uri },
      });
    };
    return this.#watches.watch(upstream, uris, heard, discover);
  }

  async capabilities(upstream: Upstream, signal: AbortSignal): Promise<Record<string, unknown>> {
    return (await unlessAborted(this.#of(upstream).connecting, signal)).capabilities;
  }

  async forget(matches: (key: UpstreamKey) => boolean): Promise<void> {
    await Promise.all([...this.#bound.values()].filter(({ key }) => matches(key)).map((bound) => this.#end(bound)));
  }

  async #end(bound: Bound): Promise<void> {
    if (this.#bound.get(bound.key) === bound) this.#bound.delete(bound.key);
    for (const watch of bound.watches.values()) watch.close();
    await bound.connecting.then((connection) => connection.close()).catch(() => undefined);
  }

  #of(upstream: Upstream): Bound {
    const { session, key } = upstream;
    if (session === undefined) throw new Error('only a caller with a session has a bound upstream session');
    const known = this.#bound.get(key);
    if (known !== undefined) return known;
    const bound: Bound = {
      key,
      calls: new Set(),
      watches: new Map(),
      connecting: Promise.reject(new Error('replaced below')),
    };
    bound.connecting.catch(() => undefined);
    bound.connecting = this.#open(upstream, session, bound);
    bound.connecting.catch(() => this.#end(bound));
    this.#bound.set(key, bound);
    return bound;
  }

  async #open(upstream: Upstream, session: CallerSession, bound: Bound): Promise<Leg> {
    const newest = (): UpstreamRequest | undefined => [...bound.calls].at(-1);
    const listener: LegListener = {
      onLost: () => void this.#end(bound),
      onNotification: (notification: Notification) => {
        const clean = scrubValue(notification, upstream.scrub);
        const relay = clean.method === 'notifications/message' ? newest()?.onNotification : undefined;
        if (relay !== undefined) relay(clean);
        else session.heard(upstream.connector, clean);
      },
      onQuestion: (question: Required<Notification>) => ask(newest(), question, upstream),
    };
    // Everybody in the session waits for it: no single call's cancellation may end it.
    const leg = await this.#openFor(upstream, session, listener, AbortSignal.timeout(openWithinMs));
    if (leg.discover !== undefined) bound.watches.set('', this.#watch(upstream, [], leg.discover));
    return leg;
  }

  /** Puts the questions of an `input_required` result to the caller and repeats the request with the answers. */
  async #fulfil(
    connection: Leg,
    upstream: Upstream,
    request: UpstreamRequest,
    first: UpstreamResult,
  ): Promise<UpstreamResult> {
    let answer = first;
    for (let round = 0; round < maxRounds && answer.result['resultType'] === 'input_required'; round++) {
      const { inputRequests, requestState } = answer.result;
      const inputResponses: Record<string, unknown> = {};
      for (const [key, question] of Object.entries(isObject(inputRequests) ? inputRequests : {})) {
        if (!isObject(question) || typeof question['method'] !== 'string')
          throw new UpstreamFailure('broken', 'unknown');
        const params = isObject(question['params']) ? question['params'] : {};
        inputResponses[key] = await ask(request, { method: question['method'], params }, upstream);
      }
      const params = { ...request.params, inputResponses, ...(typeof requestState === 'string' && { requestState }) };
      answer = await connection.request(upstream, { ...request, params });
    }
    return answer;
  }
}

async function ask(
  request: UpstreamRequest | undefined,
  question: Required<Notification>,
  upstream: Upstream,
): Promise<Record<string, unknown>> {
  // A question that belongs to no call has no stream to travel on.
  if (request?.ask === undefined) throw Object.assign(new Error('Nobody can be asked now'), { code: -32601 });
  return request.ask(scrubValue(question, upstream.scrub));
}

export const speaksModern = (discover: Record<string, unknown>): boolean => {
  const versions = discover['supportedVersions'];
  return Array.isArray(versions) && versions.includes(modernVersion);
};
