// Metrics of requests and of what is refused. Routes are patterns and codes are of our own table, so both are bounded.
import { Counter, Histogram, type Registry } from 'prom-client';
import { Refusal } from '../refusal.ts';
import type { Metrics } from './port.ts';

/** Limits of the gateway's own; every other policy is a rule that an account made and named. */
const policies = new Set(['user', 'user-lists', 'management', 'user-concurrent', 'sign-in']);
const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

export function requestMetrics(register: Registry): Pick<Metrics, 'request' | 'refused' | 'refreshed'> {
  const registers = [register];
  const requests = new Counter({
    name: 'valet_http_requests_total',
    help: 'Requests answered, by method, route pattern and status.',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const time = new Histogram({
    name: 'valet_http_request_seconds',
    help: 'Time until the answer was sent; a stream counts when it ends.',
    labelNames: ['plane'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  const refusals = new Counter({
    name: 'valet_refusals_total',
    help: 'Refusals by error code, of both planes.',
    labelNames: ['code'],
    registers,
  });
  const limited = new Counter({
    name: 'valet_rate_limited_total',
    help: 'Refusals by a limit, by kind of limit; rule stands for the limits that accounts make themselves.',
    labelNames: ['policy'],
    registers,
  });
  const refreshes = new Counter({
    name: 'valet_token_refreshes_total',
    help: 'Renewals of OAuth tokens, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  const told = new WeakSet<Refusal>();

  return {
    request({ method, route, status, seconds }) {
      requests.inc({ method: methods.has(method) ? method : 'other', route, status });
      time.observe({ plane: route.startsWith('/mcp') ? 'call' : 'management' }, seconds);
    },
    refused(error) {
      if (!(error instanceof Refusal) || told.has(error)) return;
      told.add(error);
      refusals.inc({ code: error.code });
      if (error.code !== 'RATE_LIMITED') return;
      const policy = String(error.details?.['policy']);
      limited.inc({ policy: policies.has(policy) ? policy : 'rule' });
    },
    refreshed: (outcome) => refreshes.inc({ outcome }),
  };
}
