// What the stdio carrier is given, and its numbers. Types and defaults only.
import type { StdioCatalog } from '../stdio-catalog.ts';
import type { SandboxMode } from './mcp-stdio-sandbox.ts';

export const defaultLimits = {
  perUser: 3,
  total: 50,
  idleMs: 5 * 60_000,
  lifeMs: 3_600_000,
  startMs: 15_000,
  /** Silence after the question for the modern era. */
  discoverMs: 5_000,
  graceMs: 2_000,
  /** Of one tree, as are the processes: far more than any server needs. */
  rssBytes: 512 * 1024 * 1024,
  processes: 256,
  /** How long a start waits for room when all processes are at work. */
  roomMs: 3_000,
  lineBytes: 10 * 1024 * 1024,
  sweepMs: 5_000,
  /** The second crash in a row delays the next start by this, every further one doubles it. */
  restartMs: 1_000,
  longestRestartMs: 60_000,
};
export type StdioLimits = typeof defaultLimits;

export interface StdioLog {
  warn(fields: Record<string, unknown>, event: string): void;
  debug(fields: Record<string, unknown>, event: string): void;
}

export interface StdioOptions {
  catalog: StdioCatalog;
  clientInfo: { name: string; version: string };
  log: StdioLog;
  /** Default `auto`. */
  sandbox?: SandboxMode | undefined;
  limits?: Partial<StdioLimits> | undefined;
}
