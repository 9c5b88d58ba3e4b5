// What metrics and traces are told of one call. Decides nothing, and names nobody: a tool is told by name, a resource is not, because its URI
// may hold anything of its user.
import { performance } from 'node:perf_hooks';
import { Refusal } from '../refusal.ts';
import type { Answer } from './answer.ts';
import type { Judgement } from './judge.ts';
import type { CallRequest } from './request.ts';
import type { Step } from './step.ts';

export interface CallWatch {
  deciding(work: () => Promise<Judgement>): Promise<Judgement>;
  step(step: Step): void;
  /** Milliseconds that upstreams took. */
  waited(ms: number): void;
  answered(answer: Answer): void;
  threw(error: unknown): void;
}

function toolOf({ target, label }: Step): string {
  if (target === null) return label;
  const method = /^(?:resources\/read|prompts\/get)(?= )/.exec(label)?.[0];
  return `${target.connector.id}.${method ?? target.action ?? label}`;
}

export function watchCall(request: CallRequest): CallWatch {
  const { metrics } = request.parts;
  const beganAt = performance.now();
  let upstreamMs = 0;
  let tool: string | null = null;
  let isOwn = false;
  metrics.began();
  const ended = (outcome: string, isKnown: boolean): void =>
    metrics.ended({
      serverId: request.server?.id ?? null,
      tool,
      isKnown,
      outcome,
      lane: request.lane,
      seconds: (performance.now() - beganAt) / 1000,
      upstreamSeconds: upstreamMs / 1000,
    });
  return {
    async deciding(work) {
      const span = request.trace?.child('decide', 'internal', { 'valet.server': request.server?.id });
      try {
        const judgement = await work();
        span?.end({ 'valet.allowed': judgement.denial === null }, judgement.denial?.reason);
        return judgement;
      } catch (error) {
        span?.end({ 'valet.allowed': false }, error instanceof Refusal ? error.code : 'failed');
        throw error;
      }
    },
    step(step) {
      tool = toolOf(step);
      isOwn = step.target === null;
    },
    waited(ms) {
      upstreamMs += ms;
    },
    answered({ outcome, error }) {
      metrics.refused(error);
      ended(outcome.outcome, isOwn || upstreamMs > 0 || outcome.outcome === 'ok');
    },
    threw(error) {
      metrics.refused(error);
      ended(error instanceof Refusal ? 'refused' : 'failed', isOwn);
    },
  };
}
