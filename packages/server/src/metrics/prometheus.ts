// All metrics in the text format of Prometheus. Loaded only where somebody may read them; without it nothing is counted.
import { collectDefaultMetrics, Registry } from 'prom-client';
import { callMetrics } from './calls.ts';
import { databaseMetrics } from './database.ts';
import { watchGauges } from './gauges.ts';
import type { Exposition } from './port.ts';
import { requestMetrics } from './requests.ts';

/** A registry of its own: several gateways in one process count apart. */
export function createExposition(): Exposition {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return {
    ...callMetrics(register),
    ...requestMetrics(register),
    ...databaseMetrics(register),
    watch: (gauges) => watchGauges(register, gauges),
    contentType: register.contentType,
    text: () => register.metrics(),
  };
}
