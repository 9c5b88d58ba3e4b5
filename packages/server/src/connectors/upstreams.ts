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
import type { RawCarrier } from './backends/mcp-http-raw.ts';
import { type ListItem, type ListKind, type ListSource, type UpstreamList, UpstreamLists } from './lists.ts';
import type { UpstreamKey } from './upstream-key.ts';
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
  /** Listens for changed lists and resources of an upstream, whichever era it speaks. A changed list is read anew by the next who asks. */
  watch(upstream: Upstream, uris: readonly string[], listener: (event: WatchEvent) => void): Watch;
  /** Lists kept under the keys that `matches` accepts are out of date. */
  listsChanged(matches: (key: UpstreamKey) => boolean): void;
  /** State as last seen with this key. */
  state(key: UpstreamKey): UpstreamState;
  /** State as last seen with anybody's key. */
  connectorState(accountId: string, connectorId: string): UpstreamState;
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

/** Words that an operator sees for a failure; the upstream's own text stays out. */
const failureWords: Record<UpstreamFailure['kind'], string> = {
  unreachable: 'The upstream cannot be reached',
  timeout: 'The upstream did not answer in time',
  cancelled: 'The request was cancelled',
  unauthorized: 'The upstream refused the credential',
  forbidden: 'The upstream refused access',
  rate_limited: 'The upstream limits requests',
  session_lost: 'The upstream ended the session',
  wrong_era: 'The upstream does not speak MCP at this address',
  rpc: 'The upstream answered with an error',
  broken: 'The upstream failed or answered nonsense',
};

export function createUpstreams(raw: RawCarrier, sdk: Carrier): Upstreams {
  const verdicts = new Map<UpstreamKey, Verdict>();
  const probing = new Map<UpstreamKey, Promise<Verdict>>();
  const lastErrors = new Map<UpstreamKey, string>();
  /** The key with which a connector was last heard of: by account and connector. */
  const lastKeys = new Map<string, UpstreamKey>();

  const heard = ({ key, connector }: Pick<Upstream, 'key' | 'connector'>): void => {
    if (lastKeys.size >= maxVerdicts) lastKeys.clear();
    lastKeys.set(`${connector.accountId} ${connector.id}`, key);
  };

  const note = (key: UpstreamKey, error: unknown): void => {
    if (!(error instanceof UpstreamFailure) || error.kind === 'cancelled' || error.kind === 'rpc') return;
    if (lastErrors.size >= maxVerdicts) lastErrors.clear();
    lastErrors.set(key, failureWords[error.kind]);
  };
  const failed = (upstream: Upstream, error: unknown): void => {
    heard(upstream);
    note(upstream.key, error);
  };

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
      running = probe(raw, upstream, AbortSignal.timeout(10_000), () => performance.now()).then((verdict) => {
        if (verdicts.size >= maxVerdicts) verdicts.delete(verdicts.keys().next().value as UpstreamKey);
        verdicts.set(key, verdict);
        lastErrors.delete(key);
        heard(upstream);
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

  /** Sends, and forgets an earlier failure when the upstream answers again. */
  const sendAndNote = async (upstream: Upstream, outgoing: UpstreamRequest): Promise<UpstreamResult> => {
    const result = await send(upstream, outgoing);
    lastErrors.delete(upstream.key);
    return result;
  };

  const request = async (upstream: Upstream, outgoing: UpstreamRequest): Promise<UpstreamResult> => {
    try {
      return await sendAndNote(upstream, outgoing);
    } catch (error) {
      const saysNothingRan =
        error instanceof UpstreamFailure &&
        error.executed === 'no' &&
        (error.kind === 'wrong_era' || error.kind === 'session_lost');
      if (!saysNothingRan || outgoing.signal.aborted) {
        failed(upstream, error);
        throw error;
      }
      if (error.kind === 'wrong_era') verdicts.delete(upstream.key);
      try {
        return await sendAndNote(upstream, outgoing);
      } catch (again) {
        failed(upstream, again);
        throw again;
      }
    }
  };

  const lists = new UpstreamLists(request, async (upstream, capability, signal) => {
    if (usesSession(upstream)) return Object.hasOwn(await sdk.capabilities(upstream, signal), capability);
    const verdict = await verdictOf(upstream, signal);
    return Object.hasOwn(verdict.capabilities, capability) || verdict.legacy === 'refused';
  });

  return {
    peekVerdict,
    verdict: verdictOf,
    isRaw(upstream) {
      const verdict = usesSession(upstream) ? undefined : peekVerdict(upstream.key);
      return verdict !== undefined && (verdict.modern || verdict.legacy === 'no_session');
    },
    request,
    list: async (kind, source, fresh) => {
      try {
        return await lists.get(kind, source, fresh);
      } catch (error) {
        note(source.key, error);
        throw error;
      }
    },
    connectorState(accountId, connectorId) {
      const key = lastKeys.get(`${accountId} ${connectorId}`);
      return key === undefined ? { status: 'disconnected', toolsAge: null } : this.state(key);
    },
    watch(upstream, uris, listener) {
      const announce = (event: WatchEvent): void => {
        if (event.kind !== 'updated') lists.forget((key) => key === upstream.key);
        listener(event);
      };
      if (usesSession(upstream)) return sdk.watch(upstream, uris, announce);
      let inner: Watch | undefined;
      let isClosed = false;
      const ready = verdictOf(upstream, AbortSignal.timeout(10_000)).then(
        async (verdict) => {
          if (isClosed) return;
          inner = sdk.watch(upstream, uris, announce, verdict.modern ? verdict.discover : undefined);
          await inner.ready;
        },
        (error: unknown) => note(upstream.key, error),
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
      const lastError = lastErrors.get(key);
      const toolsAge = list === undefined ? null : Math.round(performance.now() - list.readAt);
      if (probing.has(key)) return { status: 'connecting', toolsAge };
      if (lastError !== undefined) return { status: 'error', lastError, toolsAge };
      return { status: peekVerdict(key) === undefined && list === undefined ? 'disconnected' : 'connected', toolsAge };
    },
    async forget(matches) {
      for (const map of [verdicts, lastErrors]) for (const key of map.keys()) if (matches(key)) map.delete(key);
      lists.forget(matches);
      await sdk.forget(matches);
    },
    close: () => sdk.close(),
  };
}
