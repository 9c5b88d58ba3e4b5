-- Daily quotas: all that one call counts against are taken together or not at all, in one round trip, exactly on any number of replicas.

-- `wanted`: { account, quotas: [{ id, subject }] }. One row per quota that was taken; or, where one is used up, rows of which the last says
-- `refused`, and nothing was taken. Quotas that are gone or became windows meanwhile have no row. What counts is `max` as it stands in the table,
-- not as a replica remembers it. In a fixed order, so that two calls never wait for each other.
create function valet_take_quotas(wanted json)
returns table (limit_id text, used integer, most integer, refused boolean, reset_ms double precision) language plpgsql as $$
#variable_conflict use_column
declare
  account text := wanted ->> 'account';
  q record;
  now_utc timestamp := clock_timestamp() at time zone 'utc';
  today date := now_utc::date;
  taken text[] := '{}';
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', account, true), set_config('valet.user_id', '*', true);
  reset_ms := extract(epoch from (today + 1)::timestamp - now_utc) * 1000;
  for q in
    select r.id, r.max, w.subject from json_to_recordset(wanted -> 'quotas') as w(id text, subject text)
      join limit_rules r on r.account_id = account and r.id = w.id and r.window_seconds is null
    order by r.id collate "C", w.subject collate "C"
  loop
    limit_id := q.id;
    most := q.max;
    used := null;
    if q.max > 0 then
      insert into quota_counters as c (account_id, limit_id, subject, day, used) values (account, q.id, q.subject, today, 1)
        on conflict (account_id, limit_id, subject, day) do update set used = c.used + 1 where c.used < q.max
        returning c.used into used;
    end if;
    refused := used is null;
    if refused then
      -- Nobody has seen the others: their rows are ours until the transaction ends.
      update quota_counters c set used = c.used - 1 from unnest(taken) as t(id)
        join json_to_recordset(wanted -> 'quotas') as w(id text, subject text) on w.id = t.id
        where c.account_id = account and c.limit_id = w.id and c.subject = w.subject and c.day = today;
      used := q.max;
      return next;
      return;
    end if;
    taken := taken || q.id;
    return next;
  end loop;
end $$;

revoke all on function valet_take_quotas(json) from public;
grant execute on function valet_take_quotas(json) to valet_app;
