// Metrics of the database: how long it takes and how it fails. Codes are SQLSTATEs and errnos, of which a broken network may make many.
import { Counter, Histogram, type Registry } from 'prom-client';
import type { Metrics } from './port.ts';

const maxCodes = 30;

export function databaseMetrics(register: Registry): Pick<Metrics, 'databaseWork'> {
  const registers = [register];
  const time = new Histogram({
    name: 'valet_database_seconds',
    help: 'Time of statements and transactions, waiting for a connection included.',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3],
    registers,
  });
  const failures = new Counter({
    name: 'valet_database_failures_total',
    help: 'Statements and transactions that found the database not available, by SQLSTATE, errno, DEADLINE or BREAKER_OPEN.',
    labelNames: ['code'],
    registers,
  });
  const codes = new Set<string>();
  return {
    databaseWork(seconds, failure) {
      // What the breaker refuses takes no time and would hide how long the others take.
      if (failure !== 'BREAKER_OPEN') time.observe(seconds);
      if (failure === undefined) return;
      if (codes.size < maxCodes) codes.add(failure);
      failures.inc({ code: codes.has(failure) ? failure : 'other' });
    },
  };
}
