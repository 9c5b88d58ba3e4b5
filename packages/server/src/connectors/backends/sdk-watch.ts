// Listens to what upstreams say on their own: one open stream per upstream key, shared by everybody interested, opened again with growing
// pauses when it ends. Modern upstreams get `subscriptions/listen`, those of the 2025 era a session with a stream of its own.
import type { Notification, Upstream, Watch, WatchEvent } from '../backend.ts';
import type { UpstreamKey } from '../upstream-key.ts';
import type { Leg, LegListener } from './sdk-parts.ts';

const firstPauseMs = 1_000;
const longestPauseMs = 60_000;
const listenWithinMs = 5_000;

/** How a watch gets at its upstream. */
export interface WatchOpener {
  /** A connection on which the upstream may talk outside of calls. */
  open(
    upstream: Upstream,
    listener: LegListener,
    signal: AbortSignal,
    discover: Record<string, unknown> | undefined,
  ): Promise<Leg>;
  openWithinMs: number;
}

interface Interest {
  uris: readonly string[];
  listener: (event: WatchEvent) => void;
}

const lists: Record<string, 'tools' | 'prompts' | 'resources'> = {
  'notifications/tools/list_changed': 'tools',
  'notifications/prompts/list_changed': 'prompts',
  'notifications/resources/list_changed': 'resources',
};

export function eventOf({ method, params }: Notification): WatchEvent | undefined {
  const kind = lists[method];
  if (kind !== undefined) return { kind };
  const uri = method === 'notifications/resources/updated' ? params?.['uri'] : undefined;
  return typeof uri === 'string' ? { kind: 'updated', uri } : undefined;
}

/** One upstream that is being listened to. */
class Ear {
  readonly #upstream: Upstream;
  readonly #discover: Record<string, unknown> | undefined;
  readonly #opener: WatchOpener;
  readonly interests = new Set<Interest>();
  #connection: Leg | undefined;
  #heardUris: readonly string[] = [];
  #closeStream: (() => Promise<void>) | undefined;
  #pauseMs = firstPauseMs;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** Changes of the stream, one after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(upstream: Upstream, discover: Record<string, unknown> | undefined, opener: WatchOpener) {
    this.#upstream = upstream;
    this.#discover = discover;
    this.#opener = opener;
  }

  /** Opens the stream, or widens it to the URIs that somebody is interested in now. Never rejects. */
  refresh(): Promise<void> {
    this.#work = this.#work.then(async () => {
      if (this.#isClosed || this.#timer !== undefined) return;
      try {
        await this.#update();
        this.#pauseMs = firstPauseMs;
      } catch {
        // The upstream's state is in its status; here only time helps.
        await this.#again();
      }
    });
    return this.#work;
  }

  close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    return this.#shut();
  }

  async #shut(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#closeStream = undefined;
    this.#heardUris = [];
    await connection?.close();
  }

  async #again(): Promise<void> {
    await this.#shut();
    if (this.#isClosed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.refresh();
    }, this.#pauseMs);
    this.#timer.unref();
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
  }

  async #update(): Promise<void> {
    const signal = AbortSignal.timeout(this.#opener.openWithinMs);
    const isNew = this.#connection === undefined;
    const connection = this.#connection ?? (await this.#connect(signal));
    const uris = [...new Set([...this.interests].flatMap((interest) => interest.uris))].sort();
    if (!isNew && uris.join(' ') === this.#heardUris.join(' ')) return;
    if (connection.discover === undefined) await this.#subscribe(connection, uris, signal);
    else await this.#listen(connection, uris);
    this.#heardUris = uris;
  }

  async #connect(signal: AbortSignal): Promise<Leg> {
    // Empty while it is being opened: what is lost then is told by the opening itself.
    const opened: { leg?: Leg } = {};
    const listener: LegListener = {
      onNotification: (notification) => {
        const event = eventOf(notification);
        if (event === undefined) return;
        for (const { uris, listener } of this.interests)
          if (event.kind !== 'updated' || uris.includes(event.uri)) listener(event);
      },
      onLost: () => {
        if (opened.leg !== undefined && this.#connection === opened.leg) void this.#again();
      },
    };
    const leg = await this.#opener.open(this.#upstream, listener, signal, this.#discover);
    opened.leg = leg;
    this.#connection = leg;
    return leg;
  }

  /** The wider stream is open before the narrower one ends, so nothing is missed in between. */
  async #listen(connection: Leg, uris: readonly string[]): Promise<void> {
    const before = this.#closeStream;
    const subscription = await connection.client.listen(
      {
        toolsListChanged: true,
        promptsListChanged: true,
        resourcesListChanged: true,
        ...(uris.length > 0 && { resourceSubscriptions: [...uris] }),
      },
      { timeout: listenWithinMs },
    );
    const close = () => subscription.close();
    this.#closeStream = close;
    void subscription.closed.then((cause) => {
      if (cause !== 'local' && this.#closeStream === close) void this.#again();
    });
    await before?.();
  }

  async #subscribe(connection: Leg, uris: readonly string[], signal: AbortSignal): Promise<void> {
    const change = (method: string, uri: string) =>
      connection.request(this.#upstream, { method, params: { uri }, signal });
    for (const uri of uris) if (!this.#heardUris.includes(uri)) await change('resources/subscribe', uri);
    for (const uri of this.#heardUris) if (!uris.includes(uri)) await change('resources/unsubscribe', uri);
  }
}

export class Watches {
  readonly #opener: WatchOpener;
  readonly #ears = new Map<UpstreamKey, Ear>();

  constructor(opener: WatchOpener) {
    this.#opener = opener;
  }

  watch(
    upstream: Upstream,
    uris: readonly string[],
    listener: (event: WatchEvent) => void,
    discover?: Record<string, unknown>,
  ): Watch {
    const { key } = upstream;
    const ear = this.#ears.get(key) ?? new Ear(upstream, discover, this.#opener);
    this.#ears.set(key, ear);
    const interest: Interest = { uris, listener };
    ear.interests.add(interest);
    return {
      ready: ear.refresh(),
      close: () => {
        if (!ear.interests.delete(interest)) return;
        if (ear.interests.size > 0) {
          if (uris.length > 0) void ear.refresh();
          return;
        }
        if (this.#ears.get(key) === ear) this.#ears.delete(key);
        void ear.close();
      },
    };
  }

  async forget(matches: (key: UpstreamKey) => boolean): Promise<void> {
    const gone = [...this.#ears].filter(([key]) => matches(key));
    for (const [key] of gone) this.#ears.delete(key);
    await Promise.all(gone.map(([, ear]) => ear.close()));
  }
}
