// What a PostgreSQL server on this machine uses for whoever measures: processor time of all its processes, and the size of its tables.
// As a superuser, because only that one may vacuum what belongs to the gateway's login.
import { readdirSync, readFileSync } from 'node:fs';
import postgres from 'postgres';
import { superuserUrl, type TestDatabase } from '../support/database.ts';

const microsPerTick = 10_000;

/** What `/proc/<pid>/stat` says after the name; undefined when the process has ended. */
function statOf(pid: number | string): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || (error as NodeJS.ErrnoException).code === 'ESRCH')
      return undefined;
    throw error;
  }
}

export const parentOf = (pid: number): number => Number(statOf(pid)?.[1]);

/** The processes below this one, theirs included. */
export function descendantsOf(pid: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => [Number(name), parentOf(Number(name))] as const);
  const below = (one: number): number[] =>
    parents.flatMap(([child, parent]) => (parent === one ? [child, ...below(child)] : []));
  return below(pid);
}

/** Of a process with all that it has started, the ended ones included. */
export function treeCpuMicros(pid: number): number {
  const ticks = [pid, ...descendantsOf(pid)].map((one) => {
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = (statOf(one) ?? []).slice(11, 15).map(Number);
    return utime + stime + cutime + cstime;
  });
  return ticks.reduce((sum, each) => sum + each, 0) * microsPerTick;
}

export interface Observer {
  /** Of the server's first process. */
  pid: number;
  /** Bytes by table, indexes and large values included. Vacuumed before, as a running server does it by itself. */
  tableBytes(): Promise<Map<string, number>>;
  rowCount(table: string): Promise<number>;
  close(): Promise<void>;
}

export async function observe(database: TestDatabase): Promise<Observer> {
  const sql = postgres(await superuserUrl(database), { max: 1, onnotice: () => undefined });
  const [self] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  return {
    pid: parentOf(self?.pid ?? 0),
    async tableBytes() {
      await sql`vacuum`;
      const rows = await sql<{ name: string; bytes: string }[]>`
        select c.relname as name, pg_total_relation_size(c.oid) as bytes
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relkind in ('r', 'p')`;
      return new Map(rows.map(({ name, bytes }) => [name, Number(bytes)]));
    },
    async rowCount(table) {
      const [row] = await sql<{ count: string }[]>`select count(*) as count from ${sql(table)}`;
      return Number(row?.count);
    },
    close: () => sql.end(),
  };
}
