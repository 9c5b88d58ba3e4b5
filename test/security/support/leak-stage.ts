// A gateway at trace level with connectors to upstreams that say secrets back or misbehave, and with everything it shows under watch: answers,
// log lines, what the process prints, rows. For the tests of LOG-1.
import { type DatabaseKind, openTestDatabase, type TestDatabase } from '../../support/database.ts';
import { type Rig, startRig } from '../../support/gateway.ts';
import { type HostileUpstream, startHostileUpstream } from '../../support/hostile-upstream.ts';
import { Canaries, tokenNeedle } from './canaries.ts';
import { dumpTables, withReader } from './dump.ts';
import { type EchoUpstream, startEchoUpstream } from './echo-upstream.ts';
import { LogCollector } from './log-collector.ts';
import { type Received, type Sent, Wire } from './wire.ts';
import { noLimits } from './world.ts';

interface Published {
  serverId: string;
  accessToken: string;
}

export class LeakStage {
  readonly canaries: Canaries;
  readonly tokens: string[];
  readonly log: LogCollector;
  /** Answers that showed a canary. */
  readonly leaks: string[] = [];
  readonly hostile: HostileUpstream;
  readonly echoes: readonly EchoUpstream[];
  readonly rig: Rig;
  readonly wire: Wire;
  readonly database: TestDatabase;
  /** A standard key of the user alice. */
  key = '';
  server: Published = { serverId: '', accessToken: '' };
  /** Runs calls for unknown users as `default`. */
  fallback: Published = { serverId: '', accessToken: '' };
  readonly #printed = new Printed();

  private constructor(
    parts: Pick<LeakStage, 'canaries' | 'tokens' | 'log' | 'hostile' | 'echoes' | 'rig' | 'wire' | 'database'>,
  ) {
    this.canaries = parts.canaries;
    this.tokens = parts.tokens;
    this.log = parts.log;
    this.hostile = parts.hostile;
    this.echoes = parts.echoes;
    this.rig = parts.rig;
    this.wire = parts.wire;
    this.database = parts.database;
  }

  static async open(kind: DatabaseKind): Promise<LeakStage> {
    const canaries = new Canaries();
    const tokens: string[] = [];
    const log = new LogCollector(canaries, tokens);
    const database = await openTestDatabase(kind);
    const hostile = await startHostileUpstream();
    const echoes = [
      await startEchoUpstream({ sse: false }),
      await startEchoUpstream({ sse: true }),
      await startEchoUpstream({ sse: false, fail: 'rpc' }),
      await startEchoUpstream({ sse: true, fail: 'status' }),
    ];
    const rig = await startRig({ database, env: { ...noLimits, LOG_LEVEL: 'trace' }, logDestination: log });
    const stage = new LeakStage({ canaries, tokens, log, hostile, echoes, rig, wire: new Wire(rig.url), database });
    await stage.#furnish();
    return stage;
  }

  async #furnish(): Promise<void> {
    const { rig, hostile, canaries } = this;
    await rig.manage('POST', '/users', { username: 'alice' });
    this.key = (await rig.manage('POST', '/users/alice/keys', { key_name: 'k' })).api_key;
    const headers = { authorization: 'Bearer {{TOKEN}}' };
    const query = { key: '{{TOKEN}}' };
    const args = { apiKey: '{{TOKEN}}' };
    await this.#connector('byheader', hostile.url, { headers });
    await this.#connector('byquery', hostile.url, { query });
    await this.#connector('byargument', hostile.url, { args });
    for (const [index, { url }] of this.echoes.entries())
      await this.#connector(`echo${index}`, url, { headers, query, args });
    await this.#connector('nowhere', 'http://127.0.0.1:9/mcp', { query, headers });
    await this.#connector('broken', hostile.urlFor('close-at-once'), { query, headers });
    await this.#connector('newline', hostile.url, { headers }, `${canaries.make('newline')}\r\nx-evil: 1`);
    const letters = `${canaries.make('letters')}\u00e9\u{1f511}`;
    await this.#connector('foreign-letters', hostile.url, { headers: { 'x-key': '{{TOKEN}}' } }, letters);
    // What falls back to the user `default` runs, and is journaled.
    const own = { serverName: 'byheader', secretName: 'TOKEN', secretValue: canaries.make('default') };
    await rig.manage('POST', '/secrets/set', own);
    this.server = await rig.manage('POST', '/api/servers', { name: 'direct', mode: 'direct' });
    this.fallback = await rig.manage('POST', '/api/servers', {
      name: 'fallback',
      mode: 'direct',
      onUnknownUser: 'fallback',
    });
    for (const token of [rig.admin, this.key, this.server.accessToken, this.fallback.accessToken])
      this.tokens.push(tokenNeedle(token));
  }

  async #connector(
    connectorId: string,
    url: string,
    inject: object,
    secretValue = this.canaries.make(connectorId),
  ): Promise<void> {
    const body = { connectorId, kind: 'mcp-http', url, secretNames: ['TOKEN'], inject, timeoutMs: 1000 };
    await this.rig.manage('POST', '/api/connectors', body);
    await this.rig.manage('POST', '/secrets/set', {
      username: 'alice',
      serverName: connectorId,
      secretName: 'TOKEN',
      secretValue,
    });
  }

  /** Sends it and searches the answer. `mayEcho`: the answer may repeat what its sender wrote, nothing else may. */
  async provoke(sent: Sent, options: { mayEcho?: boolean } = {}): Promise<Received> {
    const answer = await this.wire.send(sent);
    const found = this.canaries.find(`${answer.text} ${JSON.stringify(answer.headers)}`);
    if (found !== undefined && options.mayEcho !== true)
      this.leaks.push(`${sent.method} ${sent.path} ${String(sent.body).slice(0, 160)}: ${found}`);
    return answer;
  }

  get asAlice(): string[] {
    return ['authorization', `Bearer ${this.key}`, 'content-type', 'application/json'];
  }
  get asAdmin(): string[] {
    return ['authorization', `Bearer ${this.rig.admin}`, 'content-type', 'application/json'];
  }

  /** A tool call as alice, in direct mode. */
  call(name: string, args: object = {}): Promise<Received> {
    const body = rpc('tools/call', { name, arguments: args });
    return this.provoke({ method: 'POST', path: `/mcp/${this.server.serverId}`, headers: this.asAlice, body });
  }

  /** What of secrets and tokens stands in rows, log lines and printed text; and how many rows were searched. */
  async residue(): Promise<{ found: string[]; rows: number }> {
    const { parts } = this.rig.gateway.gateway;
    await parts.journal.flush();
    const lines = await withReader(this.database, parts.db, (read) => dumpTables(read));
    const search = (text: string) => this.canaries.find(text) ?? this.tokens.find((token) => text.includes(token));
    const found = [...lines, this.#printed.text].flatMap((line) => {
      const what = search(line);
      return what === undefined ? [] : [`${what} in ${line.slice(0, 400)}`];
    });
    return { found: [...found, ...this.log.leaks], rows: lines.length };
  }

  async close(): Promise<void> {
    this.#printed.stop();
    await this.wire.close();
    await this.rig.close();
    await Promise.all([this.hostile.close(), ...this.echoes.map((echo) => echo.close())]);
  }
}

/** Listens to what this process prints, past any logger. */
class Printed {
  text = '';
  readonly #undo: (() => void)[] = [];

  constructor() {
    for (const stream of [process.stdout, process.stderr]) {
      const { write } = stream;
      stream.write = (chunk: string | Uint8Array, ...rest: []) => {
        this.text += String(chunk);
        return write.call(stream, chunk, ...rest);
      };
      this.#undo.push(() => {
        stream.write = write;
      });
    }
  }

  stop(): void {
    for (const undo of this.#undo) undo();
  }
}

export const rpc = (method: string, params?: unknown): string =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method, ...(params !== undefined && { params }) });
