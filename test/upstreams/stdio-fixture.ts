// What the suites about stdio upstreams share: a carrier over a catalogue of small servers, users with secrets, and a look at the processes
// that really run. Asserts nothing.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { type CallerSession, type Upstream, UpstreamFailure } from '../../packages/server/src/connectors/backend.ts';
import {
  createStdioCarrier,
  type StdioCarrier,
  type StdioLimits,
} from '../../packages/server/src/connectors/backends/mcp-stdio.ts';
import { keyFor } from '../../packages/server/src/connectors/forward.ts';
import { createScrub } from '../../packages/server/src/connectors/scrub.ts';
import type { StdioEntry } from '../../packages/server/src/connectors/stdio-catalog.ts';
import type { ConnectorRecord, CredentialRecord } from '../../packages/server/src/identity/records.ts';

export const serversFolder = fileURLToPath(new URL('./stdio-servers', import.meta.url));
export const repository = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

/** Both ways of running: unprotected, and in a sandbox where this machine has one. */
export const sandboxes = ['off', 'auto'] as const;
export type Sandboxing = (typeof sandboxes)[number];

export const nodeEntry = (args: readonly string[], fields: Partial<StdioEntry> = {}): StdioEntry => ({
  name: 'entry',
  description: undefined,
  command: process.execPath,
  args,
  env: ['TOKEN'],
  variables: {},
  network: false,
  cwd: undefined,
  files: [serversFolder],
  writable: [],
  ...fields,
});

export const plainEntry = (mode = 'plain', fields: Partial<StdioEntry> = {}): StdioEntry =>
  nodeEntry([`${serversFolder}/plain.mjs`, mode], fields);

export const tinyEntry = (fields: Partial<StdioEntry> = {}): StdioEntry =>
  nodeEntry([`${serversFolder}/tiny.sh`], { command: '/bin/sh', ...fields });

export interface Logged {
  fields: Record<string, unknown>;
  event: string;
}

export interface Stage {
  carrier: StdioCarrier;
  logged: Logged[];
  /** A user of the connector, with a secret of their own. */
  upstream(username: string, options?: UpstreamOptions): Upstream;
}

interface UpstreamOptions {
  entry?: string;
  token?: string | null;
  connector?: Partial<ConnectorRecord>;
  session?: CallerSession | undefined;
}

/** Closed with the test. */
export function startStage(
  entries: StdioEntry | Record<string, StdioEntry>,
  options: { sandbox?: Sandboxing | 'require'; limits?: Partial<StdioLimits> } = {},
): Stage {
  const named = 'command' in entries ? { entry: entries as StdioEntry } : entries;
  const logged: Logged[] = [];
  const note = (fields: Record<string, unknown>, event: string): void => void logged.push({ fields, event });
  const carrier = createStdioCarrier({
    catalog: new Map(Object.entries(named)),
    clientInfo: { name: 'MCP Valet', version: '9.9.9' },
    log: { warn: note, debug: note },
    sandbox: options.sandbox ?? 'auto',
    limits: options.limits,
  });
  onTestFinished(() => carrier.close());
  return {
    carrier,
    logged,
    upstream: (username, given = {}) => upstreamOf(username, { entry: Object.keys(named)[0] ?? '', ...given }),
  };
}

export const tokenOf = (username: string): string => `token-of-${username}-0123456789`;
export const fingerprint = (value: string): string => createHash('sha256').update(value).digest('hex');

function upstreamOf(username: string, { entry = '', token, connector, session }: UpstreamOptions): Upstream {
  const record: ConnectorRecord = {
    id: entry,
    accountId: 'acc',
    name: 'Local',
    description: null,
    category: [],
    kind: 'mcp-stdio',
    url: '',
    entry,
    headers: {},
    transport: 'streamable-http',
    inject: null,
    auth: null,
    oauth: null,
    allowShared: false,
    requires: null,
    secretNames: [],
    requiredSecrets: [],
    timeoutMs: null,
    enabled: true,
    version: 1,
    ...connector,
  };
  const value = token === undefined ? tokenOf(username) : token;
  const credential = { id: `cred-${username}`, version: 1 } as CredentialRecord;
  return {
    key: keyFor(record, { id: username }, value === null ? null : credential, session),
    connector: record,
    user: { id: username, username },
    credentialId: value === null ? null : credential.id,
    secrets: new Map(
      value === null
        ? []
        : [
            ['TOKEN', value],
            ['UNDECLARED', 'undeclared-secret-0123456789'],
          ],
    ),
    scrub: createScrub(value === null ? [] : [value]),
    session,
  };
}

export const within = (ms = 15_000): AbortSignal => AbortSignal.timeout(ms);

export const call = (name: string, args: Record<string, unknown> = {}, signal = within()) => ({
  method: 'tools/call',
  params: { name, arguments: args },
  signal,
});

/** The text of a tool's answer. */
export function textOf({ result }: { result: Record<string, unknown> }): string {
  const [block] = result['content'] as { text: string }[];
  return block?.text ?? '';
}

// biome-ignore lint/suspicious/noExplicitAny: JSON as the fixture wrote it; an assertion says what is expected of it
export const jsonOf = (answer: { result: Record<string, unknown> }): any => JSON.parse(textOf(answer));

export async function failureOf(promise: Promise<unknown>): Promise<UpstreamFailure> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof UpstreamFailure) return outcome;
  throw new Error(`expected a failure of the upstream, got ${String(outcome)}`);
}

/** Whether a process runs: one that only waits to be collected does not. */
export function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Descendants of this process that run a given command, seen from outside. */
export function running(needle: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => runs(pid) && commandLine(pid).includes(needle));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}

export const openDescriptors = (): number => readdirSync('/proc/self/fd').length;
