-- Outcomes of a whole batch in one update instead of one statement per row, which was most of what a call cost in the database.

create or replace function valet_end_calls(batch json) returns table (late_call_id text) language plpgsql as $$
#variable_conflict use_column
declare
  part record;
  r record;
  ids text[];
  ended integer;
begin
  -- The list of ids makes the primary key the only way to the rows that fits. With a join alone the planner, knowing nothing of a young table,
  -- walks the whole of it, and keeps that plan. One plan for all sizes: for small batches it would be made anew each time.
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true);
  for part in
    select g.account, g.keyed, g.rows from json_to_recordset(batch) as g(account text, keyed boolean, rows json) order by g.account collate "C"
  loop
    perform set_config('valet.account_id', part.account, true);
    ids := array(select e.id from json_to_recordset(part.rows) as e(id text));
    update calls c set outcome = e.outcome, reason = e.reason, upstream_status = e.upstream_status, latency_ms = e.latency_ms,
      outcome_digest = decode(e.outcome_digest, 'hex'), outcome_seq = nextval('calls_outcome_seq'), outcome_xid = pg_current_xact_id()
    from json_to_recordset(part.rows)
      as e(id text, outcome text, reason text, upstream_status integer, latency_ms integer, outcome_digest text)
    where c.id = any (ids) and c.id = e.id and coalesce(c.account_id, '') = part.account and coalesce(c.outcome, '') = '';
    get diagnostics ended = row_count;
    -- Rare: the sweeper was faster, or the row is not this account's.
    if ended < cardinality(ids) then
      return query
      select e.id from unnest(ids) as e(id)
      where (select c.outcome_xid from calls c where c.id = e.id) is distinct from pg_current_xact_id();
    end if;
    if part.keyed then
      -- In the order in which `valet_begin_calls` takes claims.
      for r in
        select k.* from json_to_recordset(part.rows)
          as k(id text, claim text, claim_user text, claim_scope text, key text, status integer, answer text)
        where k.claim is not null
        order by k.claim_user collate "C", k.claim_scope collate "C", k.key collate "C"
      loop
        if r.claim = 'released' then
          delete from claims c where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key
            and c.call_id = r.id and c.state = 'running';
        else
          update claims c set state = r.claim, status = r.status, answer = decode(r.answer, 'base64')
          where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key
            and c.call_id = r.id and c.state = 'running';
        end if;
      end loop;
    end if;
  end loop;
end $$;
