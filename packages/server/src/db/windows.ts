// Rate windows that all replicas count in, and which replicas are alive, as SQL functions (migration 0015). Scope set inside. Only encodes and
// decodes: what a window means is in `rate-limits/`.
import { type Database, internalsOf } from './client.ts';

export interface WindowCount {
  current: number;
  ttl: number;
}

const countOf = ([row]: readonly Record<string, unknown>[]): WindowCount => ({
  current: Number(row?.current),
  ttl: Number(row?.ttl),
});

/** `clock` stands in for the server's, in tests. */
export function windowStatements(db: Database, clock: () => number | null = () => null) {
  const { driver } = internalsOf(db);
  return {
    async take(key: string, windowMs: number, max: number, extra: number): Promise<WindowCount> {
      const text = 'select * from valet_take_window($1, $2, $3, $4, $5)';
      return countOf(await driver.call(text, [key, windowMs, max, extra, clock()]));
    },
    async peek(key: string, windowMs: number, max: number): Promise<WindowCount> {
      return countOf(
        await driver.call('select * from valet_peek_window($1, $2, $3, $4)', [key, windowMs, max, clock()]),
      );
    },
    async giveBack(key: string, windowMs: number, ageMs: number): Promise<void> {
      await driver.call('select valet_give_back_window($1, $2, $3, $4)', [key, windowMs, ageMs, clock()]);
    },
  };
}

/** Deletes windows that have run out; how many. */
export async function sweepWindows(db: Database): Promise<number> {
  const [row] = await internalsOf(db).driver.call('select valet_sweep_windows() as gone', []);
  return Number(row?.gone);
}

/** Says that this replica is alive for `aliveMs` more, or leaves with 0; answers how many are alive. */
export async function beatReplica(db: Database, id: string, aliveMs: number): Promise<number> {
  const [row] = await internalsOf(db).driver.call('select valet_beat_replica($1, $2) as alive', [id, aliveMs]);
  return Number(row?.alive);
}
