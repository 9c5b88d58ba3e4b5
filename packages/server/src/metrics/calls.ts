// Metrics of the call plane: how many calls of which tool came to what, and where their time went.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { LabelSets } from './label-sets.ts';
import type { Metrics } from './port.ts';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export function callMetrics(register: Registry): Pick<Metrics, 'began' | 'ended'> {
  const registers = [register];
  const sets = new LabelSets();
  const calls = new Counter({
    name: 'valet_calls_total',
    help: 'Calls by server, tool and outcome. At most 1,000 pairs of server and tool, the rest is other.',
    labelNames: ['server', 'tool', 'outcome'],
    registers,
  });
  const time = new Histogram({
    name: 'valet_call_seconds',
    help: 'Time of calls: in all (total), waiting for the upstream (upstream), and the rest (gateway).',
    labelNames: ['part'],
    buckets: seconds,
    registers,
  });
  const lanes = new Counter({
    name: 'valet_calls_by_lane_total',
    help: 'Calls by the way they took: direct, sdk or rest.',
    labelNames: ['lane'],
    registers,
  });
  const inFlight = new Gauge({ name: 'valet_calls_in_flight', help: 'Calls that are running now.', registers });
  const [total, upstream, gateway] = [
    time.labels({ part: 'total' }),
    time.labels({ part: 'upstream' }),
    time.labels({ part: 'gateway' }),
  ];
  return {
    began: () => inFlight.inc(),
    ended(call) {
      inFlight.dec();
      lanes.inc({ lane: call.lane });
      const { server, tool } = sets.of(
        call.serverId ?? 'none',
        call.tool ?? 'none',
        call.isKnown || call.tool === null,
      );
      calls.inc({ server, tool, outcome: call.outcome });
      total.observe(call.seconds);
      if (call.upstreamSeconds === 0) return;
      upstream.observe(call.upstreamSeconds);
      gateway.observe(Math.max(0, call.seconds - call.upstreamSeconds));
    },
  };
}
