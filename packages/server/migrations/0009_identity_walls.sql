-- The wall for the tables of migration 0008, what sign-in needs to know now, and the caller's kind in the journal.

create function valet_scope_issuer() returns text language sql stable parallel safe as
$$ select nullif(current_setting('valet.issuer', true), '') $$;
create function valet_scope_server() returns text language sql stable parallel safe as
$$ select nullif(current_setting('valet.server_id', true), '') $$;

do $$
declare t text;
begin
  foreach t in array array['issuers', 'user_identities', 'revoked_tokens', 'groups', 'group_members', 'limit_rules', 'quota_counters', 'checkpoints'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
  end loop;
  foreach t in array array['issuers', 'user_identities', 'revoked_tokens', 'groups', 'group_members', 'limit_rules', 'quota_counters'] loop
    execute format('create policy account_wall on %I to valet_app
      using (account_id = (select valet_scope_account())) with check (account_id = (select valet_scope_account()))', t);
    execute format('grant select, insert, update, delete on %I to valet_app', t);
  end loop;
  foreach t in array array['user_identities', 'group_members', 'limit_rules'] loop
    execute format('create policy user_wall on %I as restrictive to valet_app
      using ((select valet_scope_user()) in (''*'', user_id)) with check ((select valet_scope_user()) in (''*'', user_id))', t);
  end loop;
end $$;

-- Seals belong to the installation, are added and read, never changed.
create policy installation_wall on checkpoints to valet_app
  using ((select valet_scope_account()) = '*') with check ((select valet_scope_account()) = '*');
grant select, insert on checkpoints to valet_app;

-- Work of the installation: what is past its time in every account.
create policy sweep on revoked_tokens for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep_delete on revoked_tokens for delete to valet_app using ((select valet_scope_account()) = '*' and expires_at <= now());
create policy sweep on quota_counters for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep_delete on quota_counters for delete to valet_app using ((select valet_scope_account()) = '*' and day < current_date - 1);

-- A user token names its issuer before anybody is known: exactly the issuers of that name can be seen, and only while it is presented.
create policy presented on issuers for select to valet_app using (issuer = (select valet_scope_issuer()));
-- The URL of a server says whose account it is.
create policy presented on servers for select to valet_app using (id = (select valet_scope_server()));

-- The issuers that call themselves `iss`, in every account that trusts them. Index: issuers_issuer.
create function valet_find_issuers(iss text)
returns table (id text, account_id text, account_enabled boolean, name text, type text, issuer text, config jsonb, secret bytea, enabled boolean)
language plpgsql as $$
#variable_conflict use_column
declare i record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.issuer', iss, true);
  for i in select * from issuers x where x.issuer = iss order by x.id collate "C" loop
    perform set_config('valet.account_id', i.account_id, true);
    return query select i.id, i.account_id, a.enabled, i.name, i.type, i.issuer, i.config, i.secret, i.enabled from accounts a where a.id = i.account_id;
  end loop;
end $$;

-- Whose server this is; no row where there is none.
create function valet_find_server_account(server text) returns table (account_id text, account_enabled boolean) language plpgsql as $$
#variable_conflict use_column
declare s record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.server_id', server, true);
  select x.account_id into s from servers x where x.id = server;
  if not found then return; end if;
  perform set_config('valet.account_id', s.account_id, true);
  return query select a.id, a.enabled from accounts a where a.id = s.account_id;
end $$;

revoke all on function valet_find_issuers(text), valet_find_server_account(text) from public;
grant execute on function valet_find_issuers(text), valet_find_server_account(text) to valet_app;

drop trigger calls_intent on calls;
create trigger calls_intent before update of seq, xid, format, id, account_id, at, lease_until, user_id, actor_key_id, actor_kind, attempted_user,
  server_id, connector_id, tool, credential_id, args_digest, lane, request_id, idempotency_key, address
  on calls execute function valet_refuse('an intent does not change');

-- As in migration 0002, with the caller's kind.
create or replace function valet_begin_calls(batch json)
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
    insert into calls (id, account_id, lease_until, user_id, actor_key_id, actor_kind, attempted_user, server_id, connector_id, tool, credential_id,
      args_digest, lane, request_id, idempotency_key, address, outcome, reason, upstream_status, latency_ms, outcome_digest,
      outcome_seq, outcome_xid)
    select i.id, part.account, now() + i.lease_ms * interval '1 millisecond', i.user_id, i.actor_key_id, i.actor_kind, i.attempted_user, i.server_id,
      i.connector_id, i.tool, i.credential_id, decode(i.args_digest, 'hex'), i.lane, i.request_id, i.key, i.address, i.outcome, i.reason,
      i.upstream_status, i.latency_ms, decode(i.outcome_digest, 'hex'),
      case when i.outcome is not null then nextval('calls_outcome_seq') end, case when i.outcome is not null then pg_current_xact_id() end
    from json_to_recordset(part.rows) as i(id text, user_id text, actor_key_id text, actor_kind text, attempted_user text, server_id text, connector_id text,
      tool text, credential_id text, args_digest text, lane text, request_id text, key text, address text, lease_ms integer,
      outcome text, reason text, upstream_status integer, latency_ms integer, outcome_digest text)
    where i.id <> all (refused);
  end loop;
end $$;
