-- The journal: rows that are written once and completed once. Triggers bind every role, the owner included.

create sequence calls_outcome_seq;
grant usage on sequence calls_outcome_seq to valet_app;

create function valet_refuse() returns trigger language plpgsql as $$
begin
  raise exception '% on % is refused: %', tg_op, tg_table_name, tg_argv[0] using errcode = 'restrict_violation';
end $$;

create trigger calls_keep before delete or truncate on calls execute function valet_refuse('the journal is append-only');
create trigger calls_intent before update of seq, xid, format, id, account_id, at, lease_until, user_id, actor_key_id, attempted_user, server_id,
  connector_id, tool, credential_id, args_digest, lane, request_id, idempotency_key, address
  on calls execute function valet_refuse('an intent does not change');
-- An outcome is written once, whole, and carries its position: later readers order rows by transaction and may rely on every row having one.
-- After and with a condition, not before: nothing is called and no row is locked twice when all is well, which halves the price of an outcome.
create trigger calls_once after update on calls for each row
  when (old.outcome is not null or new.outcome is null or new.outcome_seq is null or new.outcome_xid is distinct from pg_current_xact_id())
  execute function valet_refuse('an outcome is written once, with its position');
create trigger calls_stamped after insert on calls for each row
  when (new.xid <> pg_current_xact_id() or (new.outcome is null) <> (new.outcome_seq is null)
    or new.outcome_xid is distinct from case when new.outcome is not null then pg_current_xact_id() end)
  execute function valet_refuse('a row carries its position, and a complete row that of its outcome');

create trigger audit_events_keep before update or delete or truncate on audit_events
  execute function valet_refuse('the audit trail is append-only');

-- Group commit of intents. Input: [{account, keyed, rows: [...]}], one entry per account, in any order. Atomic: all rows of the batch or none.
-- A keyed row is inserted only if it gets its claim; the others are answered with the state of the claim that stands in the way:
-- running | done (with status and sealed answer) | unknown (the lease is over) | mismatch (same key, another request).
-- Rows that began are not in the answer. Accounts and claims are taken in one order, so that two batches cannot wait for each other in a circle.
create function valet_begin_calls(batch json)
returns table (call_id text, state text, status integer, answer bytea, first_call_id text) language plpgsql as $$
#variable_conflict use_column
declare
  part record;
  r record;
  standing record;
  won text[];
  refused text[];
begin
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true), set_config('enable_seqscan', 'off', true);
  for part in
    select g.account, g.keyed, g.rows from json_to_recordset(batch) as g(account text, keyed boolean, rows json) order by g.account collate "C"
  loop
    perform set_config('valet.account_id', part.account, true);
    refused := '{}';
    if part.keyed then
      -- Takes over claims that are past their 24 hours and leaves all others alone; waits for a claim that is being committed right now.
      -- Of several equal keys in one batch the first gets the claim.
      with taken as (
        insert into claims as c (account_id, user_id, scope, key, fingerprint, call_id, state, lease_until, expires_at)
        select distinct on (k.claim_user collate "C", k.claim_scope collate "C", k.key collate "C")
          part.account, k.claim_user, k.claim_scope, k.key, decode(k.fingerprint, 'hex'), k.id, 'running',
          now() + k.lease_ms * interval '1 millisecond', now() + k.claim_ttl_ms * interval '1 millisecond'
        from json_to_recordset(part.rows)
          as k(id text, claim_user text, claim_scope text, key text, fingerprint text, lease_ms integer, claim_ttl_ms integer)
        where k.key is not null
        order by k.claim_user collate "C", k.claim_scope collate "C", k.key collate "C"
        on conflict (account_id, user_id, scope, key) do update
          set fingerprint = excluded.fingerprint, call_id = excluded.call_id, state = 'running', lease_until = excluded.lease_until,
              expires_at = excluded.expires_at, status = null, answer = null, created_at = now()
          where c.expires_at <= now()
        returning c.call_id
      )
      select coalesce(array_agg(call_id), '{}') into won from taken;
      -- Rare: one look-up each, on the primary key.
      for r in
        select k.* from json_to_recordset(part.rows) as k(id text, claim_user text, claim_scope text, key text, fingerprint text)
        where k.key is not null and k.id <> all (won)
      loop
        refused := refused || r.id;
        select c.* into standing from claims c
        where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key;
        call_id := r.id;
        -- Not found: released between the two statements. "running" makes the caller try again, which is right.
        state := case when not found then 'running'
                      when standing.fingerprint <> decode(r.fingerprint, 'hex') then 'mismatch'
                      when standing.state = 'running' and standing.lease_until <= now() then 'unknown'
                      else standing.state end;
        status := standing.status;
        answer := standing.answer;
        first_call_id := standing.call_id;
        return next;
      end loop;
    end if;
    insert into calls (id, account_id, lease_until, user_id, actor_key_id, attempted_user, server_id, connector_id, tool, credential_id,
      args_digest, lane, request_id, idempotency_key, address, outcome, reason, upstream_status, latency_ms, outcome_digest,
      outcome_seq, outcome_xid)
    select i.id, part.account, now() + i.lease_ms * interval '1 millisecond', i.user_id, i.actor_key_id, i.attempted_user, i.server_id,
      i.connector_id, i.tool, i.credential_id, decode(i.args_digest, 'hex'), i.lane, i.request_id, i.key, i.address, i.outcome, i.reason,
      i.upstream_status, i.latency_ms, decode(i.outcome_digest, 'hex'),
      case when i.outcome is not null then nextval('calls_outcome_seq') end, case when i.outcome is not null then pg_current_xact_id() end
    from json_to_recordset(part.rows) as i(id text, user_id text, actor_key_id text, attempted_user text, server_id text, connector_id text,
      tool text, credential_id text, args_digest text, lane text, request_id text, key text, address text, lease_ms integer,
      outcome text, reason text, upstream_status integer, latency_ms integer, outcome_digest text)
    where i.id <> all (refused);
  end loop;
end $$;

-- Group commit of outcomes, and with them the end of their claims: done (the answer is kept, sealed), unknown, or released (nothing ran).
-- Answers the ids that had an outcome already: the sweeper was faster, so the caller reports them as late.
create function valet_end_calls(batch json) returns table (late_call_id text) language plpgsql as $$
#variable_conflict use_column
declare
  part record;
  r record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true), set_config('enable_seqscan', 'off', true);
  for part in
    select g.account, g.rows from json_to_recordset(batch) as g(account text, rows json) order by g.account collate "C"
  loop
    perform set_config('valet.account_id', part.account, true);
    for r in
      select e.* from json_to_recordset(part.rows)
        as e(id text, outcome text, reason text, upstream_status integer, latency_ms integer, outcome_digest text,
             claim text, claim_user text, claim_scope text, key text, status integer, answer text)
      order by e.id collate "C"
    loop
      -- Written so that the primary key is the only index that fits: with "account_id = …" or "outcome is null" the planner, knowing nothing of a
      -- young table, walks all rows of the account or all open calls, and keeps that plan.
      update calls c set outcome = r.outcome, reason = r.reason, upstream_status = r.upstream_status, latency_ms = r.latency_ms,
        outcome_digest = decode(r.outcome_digest, 'hex'), outcome_seq = nextval('calls_outcome_seq'), outcome_xid = pg_current_xact_id()
      where c.id = r.id and coalesce(c.account_id, '') = part.account and coalesce(c.outcome, '') = '';
      if not found then
        late_call_id := r.id;
        return next;
      end if;
      if r.claim = 'released' then
        delete from claims c where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key
          and c.call_id = r.id and c.state = 'running';
      elsif r.claim is not null then
        update claims c set state = r.claim, status = r.status, answer = decode(r.answer, 'base64')
        where c.account_id = part.account and c.user_id = r.claim_user and c.scope = r.claim_scope and c.key = r.key
          and c.call_id = r.id and c.state = 'running';
      end if;
    end loop;
  end loop;
end $$;

-- Closes intents whose lease ended more than the grace ago, at most `most` of them, and drops claims past their time. Index: calls_open, claims_expiry.
create function valet_sweep_calls(grace_ms integer, most integer) returns table (call_id text, account text) language plpgsql as $$
#variable_conflict use_column
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  delete from claims where expires_at <= now();
  return query
  update calls c set outcome = 'unknown', reason = 'lease_over', outcome_seq = nextval('calls_outcome_seq'), outcome_xid = pg_current_xact_id()
  where c.outcome is null and c.id in (
    select o.id from calls o where o.outcome is null and o.lease_until < now() - grace_ms * interval '1 millisecond'
    order by o.lease_until limit most for update skip locked)
  returning c.id, c.account_id;
end $$;

revoke all on function valet_begin_calls(json), valet_end_calls(json), valet_sweep_calls(integer, integer) from public;
grant execute on function valet_begin_calls(json), valet_end_calls(json), valet_sweep_calls(integer, integer) to valet_app;
