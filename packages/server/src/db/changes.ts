// Tells every replica what changed: inside one process at once after the commit, between processes through NOTIFY.
// A message is a hint to forget something cached, never data. When the link is silent, `isFresh` says so and caches must be bypassed.
import { randomBytes } from 'node:crypto';
import postgres from 'postgres';
import { connectionOptions } from './postgres.ts';

/** A topic, or `*`: anything may have changed (the link was away). */
export type ChangeListener = (topic: string) => void;

export interface ChangeLink {
  subscribe(listener: ChangeListener): () => void;
  /** Hands over what this process committed. */
  emit(topics: readonly string[]): void;
  /** False when a change of another process may have gone unheard for more than 5 s. */
  isFresh(): boolean;
  /** The NOTIFY that tells other processes of `topic`; undefined when there are none. */
  notification(topic: string): { channel: string; payload: string } | undefined;
  close(): Promise<void>;
}

const channel = 'valet_changes';
const beatMs = 2_000;
const staleMs = 5_000;

export function localChanges(): ChangeLink {
  const listeners = new Set<ChangeListener>();
  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    emit: (topics) => {
      for (const topic of topics) for (const listener of listeners) listener(topic);
    },
    isFresh: () => true,
    notification: () => undefined,
    close: async () => undefined,
  };
}

export function postgresChanges(url: string): ChangeLink {
  const local = localChanges();
  const self = randomBytes(6).toString('hex');
  let link: ReturnType<typeof connect> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  /** When the newest heartbeat that came back was sent. All that was committed before that has been heard. */
  let freshSince = Number.NEGATIVE_INFINITY;

  function connect() {
    const state = {
      listening: false,
      busySince: undefined as number | undefined,
      sql: undefined as unknown as postgres.Sql,
    };
    // `onnotify` is a real option that the type declarations leave out.
    const options = {
      ...connectionOptions,
      max: 1,
      fetch_types: false,
      connection: { application_name: 'mcp-valet changes' },
      onnotify: (_channel: string, payload: string) => hear(payload),
      onclose: () => {
        state.listening = false;
      },
    };
    state.sql = postgres(url, options);
    return state;
  }

  function hear(payload: string): void {
    const at = payload.indexOf(' ');
    const from = payload.slice(0, at);
    const topic = payload.slice(at + 1);
    if (topic.startsWith('beat ')) {
      if (from === self) freshSince = Math.max(freshSince, Number(topic.slice(5)));
    } else if (from !== self) {
      local.emit([topic]);
    }
  }

  async function beat(): Promise<void> {
    const now = performance.now();
    if (link?.busySince !== undefined) {
      if (now - link.busySince < staleMs) return;
      // Neither answered nor closed: a half-open connection. A new one is quicker than any timeout of the old.
      void link.sql.end({ timeout: 0 });
      link = undefined;
    }
    link ??= connect();
    const current = link;
    current.busySince = now;
    try {
      if (!current.listening) {
        await current.sql.unsafe(`listen ${channel}`);
        current.listening = true;
        // Whatever was said while nobody listened is lost.
        local.emit(['*']);
      }
      await current.sql`select pg_notify(${channel}, ${`${self} beat ${now}`})`;
    } catch {
      // Not swallowed: no heartbeat comes back, `isFresh` turns false, and the next beat tries again.
      current.listening = false;
    } finally {
      current.busySince = undefined;
    }
  }

  return {
    subscribe: (listener) => {
      if (!timer && !closed) {
        timer = setInterval(() => void beat(), beatMs);
        timer.unref();
        void beat();
      }
      return local.subscribe(listener);
    },
    emit: local.emit,
    isFresh: () => performance.now() - freshSince < staleMs,
    notification: (topic) => ({ channel, payload: `${self} ${topic}` }),
    close: async () => {
      closed = true;
      clearInterval(timer);
      await link?.sql.end({ timeout: 1 });
    },
  };
}
