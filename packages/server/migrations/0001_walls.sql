-- Row-level security: the second wall. The role valet_app, which every request runs in, is made by the migrator (roles belong to the cluster).
-- FORCE binds the owner too. A setting that was once local to a transaction reads '' afterwards, hence nullif.

create function valet_scope_account() returns text language sql stable parallel safe as
$$ select nullif(current_setting('valet.account_id', true), '') $$;
create function valet_scope_user() returns text language sql stable parallel safe as
$$ select nullif(current_setting('valet.user_id', true), '') $$;
create function valet_scope_key_hash() returns bytea language sql stable parallel safe as
$$ select decode(nullif(current_setting('valet.key_hash', true), ''), 'hex') $$;

do $$
declare t text;
begin
  foreach t in array array['installation', 'keyring', 'accounts', 'users', 'servers', 'api_keys', 'connectors', 'credentials', 'data_keys',
                           'secrets', 'calls', 'claims', 'audit_events'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
  end loop;
  foreach t in array array['users', 'servers', 'api_keys', 'connectors', 'credentials', 'data_keys', 'secrets', 'calls', 'claims', 'audit_events'] loop
    execute format('create policy account_wall on %I to valet_app
      using (account_id = (select valet_scope_account())) with check (account_id = (select valet_scope_account()))', t);
  end loop;
  -- Rows that belong to one user. '*' is account management; a row without a user is seen by management only.
  foreach t in array array['api_keys', 'credentials', 'data_keys', 'secrets', 'calls', 'claims'] loop
    execute format('create policy user_wall on %I as restrictive to valet_app
      using ((select valet_scope_user()) in (''*'', user_id)) with check ((select valet_scope_user()) in (''*'', user_id))', t);
  end loop;
  foreach t in array array['users', 'servers', 'api_keys', 'connectors', 'credentials', 'data_keys', 'secrets', 'claims'] loop
    execute format('grant select, insert, update, delete on %I to valet_app', t);
  end loop;
end $$;

create policy user_wall on users as restrictive to valet_app
  using ((select valet_scope_user()) in ('*', id)) with check ((select valet_scope_user()) in ('*', id));
-- A user reads what was done to or by them. Anyone under the account may add an event, also one that concerns nobody.
create policy user_wall on audit_events as restrictive for select to valet_app
  using ((select valet_scope_user()) in ('*', user_id, actor_user_id));

create policy account_wall on accounts for select to valet_app
  using ((select valet_scope_account()) in ('*', id));
create policy account_insert on accounts for insert to valet_app
  with check (id = (select valet_scope_account()) and (select valet_scope_user()) = '*');
create policy account_update on accounts for update to valet_app
  using (id = (select valet_scope_account()) and (select valet_scope_user()) = '*')
  with check (id = (select valet_scope_account()) and (select valet_scope_user()) = '*');
create policy account_delete on accounts for delete to valet_app
  using (id = (select valet_scope_account()) and (select valet_scope_user()) = '*');

create policy installation_wall on installation to valet_app
  using ((select valet_scope_account()) = '*') with check ((select valet_scope_account()) = '*');
create policy installation_wall on keyring to valet_app
  using ((select valet_scope_account()) = '*') with check ((select valet_scope_account()) = '*');

-- Sign-in precedes the account: exactly the row whose hash is presented can be seen, and only while it is presented.
create policy sign_in on api_keys for select to valet_app using (hash = (select valet_scope_key_hash()));

-- The sweeper closes what a dead process left open, in every account.
create policy sweep on calls for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep_update on calls for update to valet_app
  using ((select valet_scope_account()) = '*' and outcome is null) with check ((select valet_scope_account()) = '*' and outcome is not null);
create policy sweep on claims for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep_delete on claims for delete to valet_app using ((select valet_scope_account()) = '*' and expires_at <= now());

grant usage on schema public to valet_app;
grant select, insert, update, delete on accounts to valet_app;
grant select, insert on installation, keyring, audit_events to valet_app;
-- Intent columns cannot be named in an UPDATE at all: no trigger has to compare them.
grant select, insert on calls to valet_app;
grant update (outcome, reason, upstream_status, latency_ms, outcome_digest, outcome_seq, outcome_xid) on calls to valet_app;
