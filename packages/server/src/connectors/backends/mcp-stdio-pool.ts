// The child processes of all users: how many there may be, when one starts again after a crash, and when one ends (idle, old, too large,
// forgotten). A process belongs to one upstream key, so to one user and one version of one credential; its secrets go to it alone.
import { performance } from 'node:perf_hooks';
import { type Upstream, UpstreamFailure } from '../backend.ts';
import { EnvironmentError, injectEnv } from '../inject.ts';
import type { StdioEntry } from '../stdio-catalog.ts';
import { readUpstreamKey, type UpstreamKey } from '../upstream-key.ts';
import { type HandshakeSetup, StdioConnection } from './mcp-stdio-connection.ts';
import { defaultLimits, type StdioLimits, type StdioOptions } from './mcp-stdio-options.ts';
import { StdioProcess } from './mcp-stdio-process.ts';
import { endedByUs, noRoom, overuseOf, unreachable } from './mcp-stdio-reasons.ts';
import { Restarts } from './mcp-stdio-restarts.ts';
import { findSandbox, type Sandbox } from './mcp-stdio-sandbox.ts';
import { readProcesses } from './mcp-stdio-tree.ts';
import type { LegListener } from './sdk-parts.ts';

interface Running {
  key: UpstreamKey;
  /** Account and user; null for a process that works for nobody in particular. */
  owner: string | null;
  connection: StdioConnection;
  process: StdioProcess | undefined;
  startedAt: number;
  isReady: boolean;
  isEnding: boolean;
}

interface Start {
  key: UpstreamKey;
  isForgotten: boolean;
}

const roomPollMs = 50;

type Wish = Pick<HandshakeSetup, 'capabilities' | 'first'>;

export class StdioPool {
  readonly #options: StdioOptions;
  readonly #limits: StdioLimits;
  readonly #running = new Set<Running>();
  readonly #restarts: Restarts;
  readonly #sandbox: Promise<Sandbox>;
  /** Starts under way, from before there is a process. */
  readonly #starts = new Set<Start>();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: StdioOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#restarts = new Restarts(this.#limits);
    this.#sandbox = options.catalog.size === 0 ? Promise.resolve(null) : this.#findSandbox();
  }

  get size(): number {
    return this.#running.size;
  }

  /** Resolves when it is known whether processes run in a sandbox. */
  async isSandboxed(): Promise<boolean> {
    return (await this.#sandbox) !== null;
  }

  /** The newest process of the key that serves. */
  find(key: UpstreamKey): StdioConnection | undefined {
    return [...this.#running].reverse().find((one) => one.key === key && one.isReady && !one.connection.isLost)
      ?.connection;
  }

  /** Whether a process may be given further calls. */
  isFresh(connection: StdioConnection): boolean {
    const one = [...this.#running].find((running) => running.connection === connection);
    return one !== undefined && !one.isEnding && performance.now() - one.startedAt < this.#limits.lifeMs;
  }

  /** A new process for this key, ready for calls. Throws UpstreamFailure: nothing ran. */
  async start(
    upstream: Upstream,
    wish: Wish,
    listener: (connection: StdioConnection) => LegListener,
  ): Promise<StdioConnection> {
    const start: Start = { key: upstream.key, isForgotten: false };
    this.#starts.add(start);
    try {
      return await this.#start(upstream, wish, listener, start);
    } finally {
      this.#starts.delete(start);
    }
  }

  async #start(
    upstream: Upstream,
    wish: Wish,
    listener: (connection: StdioConnection) => LegListener,
    start: Start,
  ): Promise<StdioConnection> {
    const { key } = upstream;
    const sandbox = await this.#sandbox;
    const entry = this.#entryOf(upstream);
    if (sandbox === null && this.#options.sandbox === 'require')
      throw unreachable('Local servers need bubblewrap here, and it cannot be used');
    const env = environmentOf(upstream, entry);
    await this.#restarts.wait(key);
    const attempt = async (first: Wish['first']): Promise<StdioConnection> => {
      const running = await this.#reserve(start);
      running.connection.listeners.add(listener(running.connection));
      await this.#open(running, upstream, { ...wish, first }, { entry, env, sandbox });
      return running.connection;
    };
    let connection: StdioConnection;
    try {
      connection = await attempt(this.#restarts.isLegacy(key) ? 'legacy' : wish.first);
    } catch (error) {
      if (!(error instanceof EndedOnProbe)) throw error;
      // Only after the first has ended: secrets are never in two processes for one purpose.
      connection = await attempt('legacy');
    }
    if (connection.discover === undefined && wish.first === 'modern') this.#restarts.noteLegacy(key);
    return connection;
  }

  /** Ends the processes whose keys are accepted, and waits for it. */
  async forget(matches: (key: UpstreamKey) => boolean): Promise<void> {
    this.#restarts.forget(matches);
    for (const start of this.#starts) if (matches(start.key)) start.isForgotten = true;
    const gone = [...this.#running].filter(({ key }) => matches(key));
    await Promise.all(gone.map((one) => this.#end(one, endedByUs)));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    await this.#sandbox;
    await this.forget(() => true);
  }

  async #findSandbox(): Promise<Sandbox> {
    const { sandbox: mode = 'auto', log } = this.#options;
    const sandbox = await findSandbox(mode);
    if (sandbox === null) log.warn({ mode }, 'stdio_servers_run_without_sandbox');
    return sandbox;
  }

  #entryOf({ connector }: Upstream): StdioEntry {
    const entry = this.#options.catalog.get(connector.entry ?? '');
    if (entry === undefined) throw unreachable('The catalogue of local servers has no such entry');
    return entry;
  }

  /** A place for one more process, freed by ending an idle one where there is none. */
  async #reserve(start: Start): Promise<Running> {
    const { key } = start;
    const { accountId, userId } = readUpstreamKey(key);
    const owner = userId === null ? null : `${accountId} ${userId}`;
    const { perUser, total, roomMs } = this.#limits;
    const until = performance.now() + roomMs;
    for (;;) {
      if (this.#isClosed || start.isForgotten) throw unreachable(endedByUs);
      const all = [...this.#running];
      const own = owner === null ? [] : all.filter((one) => one.owner === owner);
      const isOwnLimit = own.length >= perUser;
      if (!isOwnLimit && all.length < total) break;
      const next = dispensable(isOwnLimit ? own : all);
      if (next !== undefined) await this.#end(next, 'The server process made room for another');
      else if (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, roomPollMs));
      else
        throw noRoom(
          isOwnLimit ? `All ${perUser} server processes of this user` : 'All server processes of this gateway',
        );
    }
    const running: Running = {
      key,
      owner,
      connection: new StdioConnection(),
      process: undefined,
      startedAt: performance.now(),
      isReady: false,
      isEnding: false,
    };
    this.#running.add(running);
    this.#schedule();
    return running;
  }

  async #open(
    running: Running,
    upstream: Upstream,
    wish: Wish,
    { entry, env, sandbox }: { entry: StdioEntry; env: Record<string, string>; sandbox: Sandbox },
  ): Promise<void> {
    const { connection } = running;
    // What outlives this function must not hold the secrets.
    const told = { connector: upstream.connector, scrub: upstream.scrub };
    try {
      const process = await StdioProcess.start({
        entry,
        env,
        sandbox,
        maxLineBytes: this.#limits.lineBytes,
        graceMs: this.#limits.graceMs,
        onLine: (line) => connection.line(line),
        onEnd: (words) => this.#ended(running, told, words),
      });
      running.process = process;
      void process.gone.then(() => this.#running.delete(running));
      connection.attach(process);
      if (running.isEnding) throw unreachable(endedByUs);
      const setup = { ...wish, clientInfo: this.#options.clientInfo, discoverMs: this.#limits.discoverMs };
      await connection.handshake(upstream, setup, AbortSignal.timeout(this.#limits.startMs));
      running.isReady = true;
    } catch (error) {
      const { process } = running;
      if (process === undefined) this.#running.delete(running);
      if (connection.endedOnProbe && !running.isEnding) {
        await process?.gone;
        throw new EndedOnProbe('the process ended instead of answering');
      }
      if (!running.isEnding) this.#restarts.crashed(running.key, running.startedAt);
      await this.#end(
        running,
        error instanceof UpstreamFailure && error.words ? error.words : 'The server process did not start',
      );
      throw error instanceof UpstreamFailure ? error : unreachable('The server process cannot be started');
    }
  }

  #ended(running: Running, { connector, scrub }: Pick<Upstream, 'connector' | 'scrub'>, words: string): void {
    if (running.isReady && !running.isEnding) {
      this.#restarts.crashed(running.key, running.startedAt);
      const fields = { accountId: connector.accountId, connectorId: connector.id, reason: words };
      this.#options.log.warn(fields, 'stdio_process_ended');
    }
    const stderr = running.process?.stderr ?? '';
    if (stderr !== '' && !running.isEnding)
      this.#options.log.debug({ connectorId: connector.id, stderr: scrub(stderr).slice(-4096) }, 'stdio_process_said');
    running.connection.lost(words);
  }

  async #end(running: Running, words: string): Promise<void> {
    running.isEnding = true;
    await running.process?.end(words);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isClosed) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#sweep().finally(() => {
        if (this.#running.size > 0) this.#schedule();
      });
    }, this.#limits.sweepMs);
    this.#timer.unref();
  }

  async #sweep(): Promise<void> {
    const { idleMs, lifeMs } = this.#limits;
    const all = await readProcesses();
    const now = performance.now();
    for (const one of this.#running) {
      const { connection } = one;
      const members = one.process?.members(all) ?? [];
      // A crash by its own doing, so the next start may be delayed.
      const overuse = overuseOf(members, this.#limits);
      if (overuse !== undefined) void one.process?.end(overuse);
      else if (!one.isReady || connection.isBusy || one.isEnding) continue;
      else if (now - one.startedAt > lifeMs) void this.#end(one, 'The server process reached the end of its life');
      else if (!connection.isHeld && now - connection.usedAt > idleMs)
        void this.#end(one, 'The server process was idle');
    }
  }
}

class EndedOnProbe extends Error {}

/** The process that is missed least: one that ends anyway, else the idle one that nobody listens to and that was not used for longest. */
function dispensable(crowd: readonly Running[]): Running | undefined {
  const ending = crowd.find((one) => one.isEnding);
  if (ending !== undefined) return ending;
  const idle = crowd.filter((one) => one.isReady && !one.connection.isBusy);
  const order = (a: Running, b: Running): number =>
    Number(a.connection.isHeld) - Number(b.connection.isHeld) || a.connection.usedAt - b.connection.usedAt;
  return idle.sort(order)[0];
}

function environmentOf({ connector, secrets, user }: Upstream, entry: StdioEntry): Record<string, string> {
  try {
    return injectEnv(connector.inject, entry.env, secrets, user);
  } catch (error) {
    if (error instanceof EnvironmentError) throw unreachable(error.message);
    throw error;
  }
}
