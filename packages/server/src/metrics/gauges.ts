// Metrics that are looked at when somebody asks: what is open, what waits, and whether the database is reachable.
import { Counter, Gauge, type Registry } from 'prom-client';
import type { Gauges } from './port.ts';

export function watchGauges(register: Registry, now: Gauges): void {
  const registers = [register];
  const gauge = (name: string, help: string, read: () => number): void =>
    void new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  const gaugeBy = (name: string, help: string, label: string, read: () => Readonly<Record<string, number>>): void =>
    void new Gauge({
      name,
      help,
      registers,
      labelNames: [label],
      collect() {
        for (const [value, count] of Object.entries(read())) this.set({ [label]: value }, count);
      },
    });

  gauge('valet_database_breaker_open', '1 while the database is taken for gone and not asked.', () =>
    now.isDatabaseReachable() ? 0 : 1,
  );
  gaugeBy('valet_journal_queue', 'Rows of the journal that wait to be committed.', 'kind', now.journalQueue);
  gaugeBy('valet_open', 'Sessions, streams and exchanges without a session that are open now.', 'kind', now.open);
  gauge('valet_stdio_children', 'Processes of stdio connectors.', now.stdioChildren);
  gauge('valet_request_body_bytes', 'Bytes of request bodies in memory.', now.bodyBytes);
  gauge(
    'valet_sealing_lag_seconds',
    'Age of the oldest row of the trail that is not sealed.',
    () => now.sealingLagMs() / 1000,
  );
  gauge('valet_limiter_ok', '0 while limits are counted by this replica alone because the shared store fails.', () =>
    now.limiter().ok ? 1 : 0,
  );
  gauge(
    'valet_live_replicas',
    'Replicas that share the limits, as this one sees them.',
    () => now.limiter().liveReplicas,
  );
  const total = (name: string, help: string, read: () => number): void =>
    void new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  total(
    'valet_limiter_store_failures_total',
    'Questions to the shared store of limits that failed or took too long.',
    () => now.limiter().failures,
  );
  total(
    'valet_limiter_own_decisions_total',
    "Decisions that the replica's own windows made instead of the shared store.",
    () => now.limiter().ownDecisions,
  );
  new Counter({
    name: 'valet_overload_refusals_total',
    help: 'Requests turned away unread, by reason: database, event_loop, heap, bodies.',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset();
      for (const [reason, count] of now.overload()) this.inc({ reason }, count);
    },
  });
}
