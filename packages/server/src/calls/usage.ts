// Counts the journal: calls by user, server, connector, tool and day. Reads only; there is no second book that could disagree with the first.
import { type SQL, sql } from 'drizzle-orm';
import { type Db, rowsOf } from '../db/scope.ts';

/** In this order in keys and answers. */
export const dimensions = ['user', 'server', 'connector', 'tool', 'day'] as const;
export type Dimension = (typeof dimensions)[number];

export interface UsageFilter {
  userId?: string | undefined;
  serverId?: string | undefined;
  connectorId?: string | undefined;
  from: Date;
  to: Date;
}

/** Columns that were not asked for are null. */
export interface Usage {
  userId: string | null;
  username: string | null;
  serverId: string | null;
  connectorId: string | null;
  tool: string | null;
  day: string | null;
  calls: number;
  ok: number;
  refused: number;
  failed: number;
  meanLatencyMs: number | null;
}

const expressions: Readonly<Record<Dimension, SQL>> = {
  user: sql`c.user_id`,
  server: sql`c.server_id`,
  connector: sql`c.connector_id`,
  tool: sql`c.tool`,
  day: sql`(c.at at time zone 'utc')::date::text`,
};
const columns: Readonly<Record<Dimension, SQL>> = {
  user: sql`user_id`,
  server: sql`server_id`,
  connector: sql`connector_id`,
  tool: sql`tool`,
  day: sql`day`,
};

/** Most calls first. Calls of `from` count, those of `to` do not. Indexes: calls_account_seq, calls_account_user. */
export async function countUsage(
  tx: Db,
  accountId: string,
  by: readonly Dimension[],
  filter: UsageFilter,
  page: { limit: number; offset: number },
): Promise<{ rows: Usage[]; total: number }> {
  const asked = dimensions.filter((name) => by.includes(name));
  const named = dimensions.map((name) =>
    by.includes(name) ? sql`${expressions[name]} as ${columns[name]}` : sql`null::text as ${columns[name]}`,
  );
  const equal = (column: SQL, value: string | undefined) =>
    value === undefined ? sql`` : sql` and ${column} = ${value}`;
  const keys = sql.join(
    asked.map((name) => columns[name]),
    sql`, `,
  );
  const order = sql.join(
    asked.map((name) => sql`u.${columns[name]} collate "C" nulls first`),
    sql`, `,
  );
  const answer = await tx.execute(sql`
    with u as (
      select ${sql.join(named, sql`, `)}, count(*) as calls, count(*) filter (where c.outcome = 'ok') as ok,
        count(*) filter (where c.outcome = 'refused') as refused,
        count(*) filter (where c.outcome in ('failed', 'tool_error', 'unknown')) as failed,
        avg(c.latency_ms) filter (where c.outcome in ('ok', 'tool_error', 'failed')) as mean_latency
      from calls c
      where c.account_id = ${accountId} and c.at >= ${filter.from.toISOString()}::timestamptz and c.at < ${filter.to.toISOString()}::timestamptz
        ${equal(sql`c.user_id`, filter.userId)}${equal(sql`c.server_id`, filter.serverId)}${equal(sql`c.connector_id`, filter.connectorId)}
      group by ${keys}
    ), page as (select u.*, row_number() over (order by u.calls desc, ${order}) as place from u)
    select whole.total, page.place, page.user_id, p.username, page.server_id, page.connector_id, page.tool, page.day, page.calls::int, page.ok::int, page.refused::int,
      page.failed::int, page.mean_latency::float8
    from (select count(*)::int as total from u) as whole
      left join page on page.place > ${page.offset} and page.place <= ${page.offset + page.limit}
      left join users p on p.account_id = ${accountId} and p.id = page.user_id
    order by page.place`);
  const rows = rowsOf<Record<string, string | number | null>>(answer);
  return {
    rows: rows.filter((row) => row['place'] !== null).map(toUsage),
    total: Number(rows[0]?.['total'] ?? 0),
  };
}

/** The moment after the last call that the journal can have now, by the clock that its rows are written with. */
export async function nowOfJournal(tx: Db): Promise<Date> {
  const answer = await tx.execute(sql`select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms`);
  return new Date(Math.floor(Number(rowsOf<{ ms: number }>(answer)[0]?.ms)) + 2);
}

const text = (value: string | number | null | undefined): string | null => (value == null ? null : String(value));

const toUsage = (row: Record<string, string | number | null>): Usage => ({
  userId: text(row['user_id']),
  username: text(row['username']),
  serverId: text(row['server_id']),
  connectorId: text(row['connector_id']),
  tool: text(row['tool']),
  day: text(row['day']),
  calls: Number(row['calls']),
  ok: Number(row['ok']),
  refused: Number(row['refused']),
  failed: Number(row['failed']),
  meanLatencyMs: row['mean_latency'] == null ? null : Math.round(Number(row['mean_latency']) * 10) / 10,
});
