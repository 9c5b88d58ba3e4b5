// A tool of connectivity mode as a value: what it touches and what it does. A tool never opens a secret and never asks who is allowed:
// the pipeline has decided before `plan` of an executing tool is run, and filters what a reading tool lists.
import type { MetaToolInput, MetaToolName } from '@mcp-valet/shared';
import type { Step } from './call.ts';
import type { UserCall } from './request.ts';
import type { Relay } from './upstream-step.ts';

export interface MetaTool<N extends MetaToolName> {
  name: N;
  plan(input: MetaToolInput<N>, call: UserCall, relay: Relay): Promise<Step> | Step;
}

/** A step that reads or writes only our own data and sends nothing. */
export function localStep(
  name: MetaToolName,
  input: unknown,
  run: Step['run'],
  options: { target?: Step['target']; isRead?: boolean } = {},
): Step {
  return {
    label: name,
    target: options.target ?? null,
    input,
    credential: { use: 'none' },
    isLocalRead: options.isRead ?? true,
    timeoutMs: 30_000,
    run,
  };
}
