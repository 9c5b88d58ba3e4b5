// The upstreams of all users: which protocol each speaks, what each lists, and the choice of the carrier for a request. A request is sent
// again only when the upstream said by protocol that nothing ran (another era, a lost session), once, inside the same deadline.
import { performance } from 'node:perf_hooks';
import {
  type Carrier,
  type Upstream,
  UpstreamFailure,
  type UpstreamRequest,
  type UpstreamResult,
  type Watch,
  type WatchEvent,
} from './backend.ts';
import type { RestCarrier } from './backends/http.ts';
import type { RawCarrier } from './backends/mcp-http-raw.ts';
import { type ListItem, type ListKind, type ListSource, type UpstreamList, UpstreamLists } from './lists.ts';
import type { UpstreamKey } from './upstream-key.ts';
import { UpstreamStates } from './upstream-states.ts';
import { probe, type Verdict } from './verdict.ts';

export interface UpstreamState {
  status: 'connected' | 'connecting' | 'disconnected' | 'error';
  /** A word of ours, never the upstream's. */
  lastError?: string;
  toolsAge: number | null;
}

export interface Upstreams {
  /** What is known of the upstream's protocol, without asking. */
  peekVerdict(key: UpstreamKey): Verdict | undefined;
  verdict(upstream: Upstream, signal: AbortSignal): Promise<Verdict>;
  /** Whether a request can leave as one plain POST, as far as is known now. */
  isRaw(upstream: Pick<Upstream, 'key' | 'connector'>): boolean;
  request(upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult>;
  list(kind: ListKind, source: ListSource, fresh?: boolean): Promise<UpstreamList>;
  /** The list while it may be kept, without asking anybody; undefined where somebody would have to be asked. */
  peekList(kind: ListKind, key: UpstreamKey): UpstreamList | undefined;
  /** What a tools/call would throw before anything leaves, as far as that is known here. Sends nothing. */
  check(upstream: Upstream, name: string, args: Record<string, unknown>): Promise<void>;
  /** Listens for changed lists and resources of an upstream, whichever era it speaks. A changed list is read anew by the next who asks. */
  watch(upstream: Upstream, uris: readonly string[], listener: (event: WatchEvent) => void): Watch;
  /** Lists kept under the keys that `matches` accepts are out of date. */
  listsChanged(matches: (key: UpstreamKey) => boolean): void;
  /** State as last seen with this key. */
  state(key: UpstreamKey): UpstreamState;
  /** State as last seen with anybody's key. */
  connectorState(accountId: string, connectorId: string): UpstreamState;
  /** Definitions of the account changed: an address that could not be reached may be another one now. */
  connectorsChanged(accountId: string): void;
  /** Every key under which something is kept, some more than once. */
  eachKey(visit: (key: UpstreamKey) => void): void;
  /** Ends and forgets what is kept for the keys that `matches` accepts. */
  forget(matches: (key: UpstreamKey) => boolean): Promise<void>;
  close(): Promise<void>;
}

/** Upstreams as management shows them: made in `mcp/connector-views`. */
export interface ConnectorViews {
  /** What the gateway last saw of the upstream with the credential of `userRef`; without one, with anybody's. */
  state(accountId: string, connectorId: string, userRef?: string | null): Promise<UpstreamState>;
  /** The upstream's tools. `fresh` asks the upstream now. Throws NOT_FOUND, USER_NOT_FOUND, CREDENTIALS_REQUIRED and the upstream codes. */
  tools(
    accountId: string,
    connectorId: string,
    userRef: string | null,
    options: { fresh: boolean; requestId: string },
  ): Promise<readonly ListItem[]>;
}

const modernKeepMs = 24 * 3_600_000;
// A stale "modern" fails loudly; a stale "legacy" works silently for ever.
const legacyKeepMs = 3_600_000;
const maxVerdicts = 20_000;
const nothing: readonly ListItem[] = [];

/** How requests leave, by kind of connector. */
export interface Carriers {
  /** `mcp-http`, where one POST is enough. */
  raw: RawCarrier;
  /** `mcp-http`, where it is not. */
  sdk: Carrier;
  stdio: Carrier;
  rest: RestCarrier;
}

export function createUpstreams({ raw, sdk, stdio, rest }: Carriers): Upstreams {
  const verdicts = new Map<UpstreamKey, Verdict>();
  const probing = new Map<UpstreamKey, Promise<Verdict>>();
  const states = new UpstreamStates();

  const peekVerdict = (key: UpstreamKey): Verdict | undefined => {
    const verdict = verdicts.get(key);
    if (verdict === undefined) return undefined;
    const keepMs = verdict.modern ? modernKeepMs : legacyKeepMs;
    if (performance.now() - verdict.learnedAt < keepMs) return verdict;
    verdicts.delete(key);
    return undefined;
  };

  const verdictOf = async (upstream: Upstream, signal: AbortSignal): Promise<Verdict> => {
    const { key } = upstream;
    const known = peekVerdict(key);
    if (known !== undefined) return known;
    let running = probing.get(key);
    if (running === undefined) {
      // Shared by everybody who waits, so no single caller's cancellation may end it.
      running = states
        .watch(upstream, () => probe(raw, upstream, AbortSignal.timeout(10_000), () => performance.now()))
        .then((verdict) => {
          if (verdicts.size >= maxVerdicts) verdicts.delete(verdicts.keys().next().value as UpstreamKey);
          verdicts.set(key, verdict);
          return verdict;
        });
      probing.set(key, running);
      const done = (): void => void probing.delete(key);
      running.then(done, done);
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        const isTimeout = signal.reason instanceof DOMException && signal.reason.name === 'TimeoutError';
        reject(new UpstreamFailure(isTimeout ? 'timeout' : 'cancelled', 'no'));
      };
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      running.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
    });
  };

  // A caller's session is matched by a session upstream, whatever else that upstream speaks.
  const usesSession = (upstream: Pick<Upstream, 'connector' | 'session'>): boolean =>
    upstream.session !== undefined || upstream.connector.transport === 'sse';

  const send = async (upstream: Upstream, request: UpstreamRequest): Promise<UpstreamResult> => {
    const { kind } = upstream.connector;
    if (kind === 'mcp-stdio') return stdio.request(upstream, request);
    if (kind === 'http') return rest.request(upstream, request);
    if (usesSession(upstream)) return sdk.request(upstream, request);
    let verdict: Verdict;
    try {
      verdict = await verdictOf(upstream, request.signal);
    } catch (error) {
      // Probing sends no tools/call: whatever went wrong, the tool did not run.
      if (error instanceof UpstreamFailure) {
        throw new UpstreamFailure(error.kind, 'no', {
          status: error.status,
          ...(error.rpc && { rpc: error.rpc }),
          retryAfterMs: error.retryAfterMs,
        });
      }
      throw error;
    }
    const streams = request.onNotification !== undefined;
    if (verdict.modern)
      return streams
        ? sdk.request(upstream, request, verdict.discover)
        : raw.request(upstream, request, { modern: true });
    if (verdict.legacy === 'no_session' && !streams)
      return raw.request(upstream, request, { modern: false, version: verdict.legacyVersion });
    return sdk.request(upstream, request);
  };

  const sendAndNote = (upstream: Upstream, outgoing: UpstreamRequest): Promise<UpstreamResult> =>
    states.watch(upstream, () => send(upstream, outgoing));

  const request = async (upstream: Upstream, outgoing: UpstreamRequest): Promise<UpstreamResult> => {
    try {
      return await sendAndNote(upstream, outgoing);
    } catch (error) {
      const saysNothingRan =
        error instanceof UpstreamFailure &&
        error.executed === 'no' &&
        (error.kind === 'wrong_era' || error.kind === 'session_lost');
      if (!saysNothingRan || outgoing.signal.aborted) {
        states.failed(upstream, error);
        throw error;
      }
      if (error.kind === 'wrong_era') verdicts.delete(upstream.key);
      try {
        return await sendAndNote(upstream, outgoing);
      } catch (again) {
        states.failed(upstream, again);
        throw again;
      }
    }
  };

  const lists = new UpstreamLists(request, async (upstream, capability, signal) => {
    if (upstream.connector.kind === 'mcp-stdio')
      return Object.hasOwn(await stdio.capabilities(upstream, signal), capability);
    if (usesSession(upstream)) return Object.hasOwn(await sdk.capabilities(upstream, signal), capability);
    const verdict = await verdictOf(upstream, signal);
    return Object.hasOwn(verdict.capabilities, capability) || verdict.legacy === 'refused';
  });

  /** Operations of a document are known without asking anybody. */
  const described = new WeakMap<readonly ListItem[], UpstreamList>();
  const restList = async (kind: ListKind, { connector }: ListSource): Promise<UpstreamList> => {
    const items = kind === 'tools' ? (await rest.list({ connector })).items : nothing;
    let list = described.get(items);
    if (list === undefined) {
      list = { items, ttlMs: 60_000, dropped: [], readAt: performance.now() };
      described.set(items, list);
    }
    return list;
  };

  return {
    peekVerdict,
    verdict: verdictOf,
    isRaw(upstream) {
      if (upstream.connector.kind === 'http') return true;
      const verdict = usesSession(upstream) ? undefined : peekVerdict(upstream.key);
      return verdict !== undefined && (verdict.modern || verdict.legacy === 'no_session');
    },
    request,
    list: async (kind, source, fresh) => {
      if (source.connector.kind === 'http') return restList(kind, source);
      try {
        return await lists.get(kind, source, fresh);
      } catch (error) {
        states.failed(source, error);
        throw error;
      }
    },
    peekList(kind, key) {
      const list = lists.peek(kind, key);
      return list !== undefined && performance.now() < list.readAt + list.ttlMs ? list : undefined;
    },
    async check(upstream, name, args) {
      if (upstream.connector.kind === 'http') await rest.check(upstream, name, args);
    },
    connectorState(accountId, connectorId) {
      const key = states.lastKey(accountId, connectorId);
      return key === undefined ? { status: 'disconnected', toolsAge: null } : this.state(key);
    },
    watch(upstream, uris, listener) {
      const announce = (event: WatchEvent): void => {
        if (event.kind !== 'updated') lists.forget((key) => key === upstream.key);
        listener(event);
      };
      // A document does not change by itself.
      if (upstream.connector.kind === 'http') return { ready: Promise.resolve(), close: () => undefined };
      if (upstream.connector.kind === 'mcp-stdio') return stdio.watch(upstream, uris, announce);
      if (usesSession(upstream)) return sdk.watch(upstream, uris, announce);
      let inner: Watch | undefined;
      let isClosed = false;
      const ready = verdictOf(upstream, AbortSignal.timeout(10_000)).then(
        async (verdict) => {
          if (isClosed) return;
          inner = sdk.watch(upstream, uris, announce, verdict.modern ? verdict.discover : undefined);
          await inner.ready;
        },
        (error: unknown) => states.note(upstream.key, error),
      );
      return {
        ready,
        close() {
          isClosed = true;
          inner?.close();
        },
      };
    },
    listsChanged: (matches) => lists.forget(matches),
    state(key) {
      const list = lists.peek('tools', key);
      const lastError = states.lastError(key);
      const toolsAge = list === undefined ? null : Math.round(performance.now() - list.readAt);
      if (probing.has(key)) return { status: 'connecting', toolsAge };
      if (lastError !== undefined) return { status: 'error', lastError, toolsAge };
      return { status: states.hasAnswered(key) || list !== undefined ? 'connected' : 'disconnected', toolsAge };
    },
    eachKey(visit) {
      const look = (key: UpstreamKey): boolean => {
        visit(key);
        return false;
      };
      for (const key of verdicts.keys()) look(key);
      // Matches nothing: the carriers go through what they keep and find it all in order.
      lists.forget(look);
      void sdk.forget(look);
      void stdio.forget(look);
    },
    async forget(matches) {
      for (const key of verdicts.keys()) if (matches(key)) verdicts.delete(key);
      states.forget(matches);
      lists.forget(matches);
      await Promise.all([sdk.forget(matches), stdio.forget(matches)]);
    },
    connectorsChanged: (accountId) => states.forgetConnectors(accountId),
    async close() {
      await Promise.all([sdk.close(), stdio.close()]);
    },
  };
}
