// What a tool, prompt or resource says about one call of it before anything happens. Types only: `judge` decides about it, `call` runs it.
import type { Upstream } from '../connectors/backend.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import type { Answer } from './answer.ts';
import type { ConnectDialog } from './connect.ts';
import type { RpcError } from './jsonrpc.ts';
import type { UserCall } from './request.ts';

export interface Step {
  /** For the journal: the tool's name, or the method and name. */
  label: string;
  /** What it touches; null for meta tools that touch no connector. */
  target: { connector: ConnectorRecord; action?: string } | null;
  /** Where what is hidden must look like what does not exist: made and thrown instead of the refusal. The trail hears the refusal all the same. */
  hiddenAs?: (() => RpcError) | undefined;
  /** What the caller sent: digested, never stored. */
  input: unknown;
  /** Whose credential it needs; `none` for steps that send nothing. */
  credential: { use: 'none' } | { use: 'choose'; argument?: string | undefined };
  /** Reads only our own data: one complete row instead of intent and outcome. */
  isLocalRead: boolean;
  timeoutMs: number;
  /** How the user can be asked to connect an account, where the caller's era has a way. */
  dialog?: ConnectDialog | undefined;
  run(upstream: Upstream | null, signal: AbortSignal, call: UserCall): Promise<Answer>;
}
