-- The wall for the tables of migration 0004, and the two look-ups that precede an account: a sign-in link and the provider's answer to it.

do $$
declare t text;
begin
  foreach t in array array['connector_documents', 'oauth_clients', 'connect_requests', 'account_settings', 'webhook_deliveries'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy account_wall on %I to valet_app
      using (account_id = (select valet_scope_account())) with check (account_id = (select valet_scope_account()))', t);
    execute format('grant select, insert, update, delete on %I to valet_app', t);
  end loop;
end $$;

create policy user_wall on connect_requests as restrictive to valet_app
  using ((select valet_scope_user()) in ('*', user_id) or (hash = (select valet_scope_key_hash())) or (state_hash = (select valet_scope_key_hash())))
  with check ((select valet_scope_user()) in ('*', user_id));

-- Whoever opens a link or comes back from a provider is nobody yet: exactly the row whose hash is presented can be seen.
create policy opened on connect_requests for select to valet_app
  using (hash = (select valet_scope_key_hash()) or state_hash = (select valet_scope_key_hash()));

-- Work of the installation: what is due in every account, and links past their time.
create policy due on webhook_deliveries for select to valet_app using ((select valet_scope_account()) = '*');
create policy due_update on webhook_deliveries for update to valet_app
  using ((select valet_scope_account()) = '*' and next_at is not null) with check ((select valet_scope_account()) = '*');
create policy sweep_delivered on webhook_deliveries for delete to valet_app using ((select valet_scope_account()) = '*' and next_at is null);
create policy due_settings on account_settings for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep on connect_requests for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep_delete on connect_requests for delete to valet_app using ((select valet_scope_account()) = '*' and expires_at <= now());

-- The account and user of a link (`link_hash`) or of a running authorization (its state). The rest is read under that scope. Indexes: the key
-- and connect_requests_state.
create function valet_find_connect(link_hash bytea)
returns table (account_id text, user_id text, hash bytea) language plpgsql as $$
#variable_conflict use_column
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '', true),
    set_config('valet.key_hash', encode(link_hash, 'hex'), true);
  return query select r.account_id, r.user_id, r.hash from connect_requests r where r.hash = link_hash or r.state_hash = link_hash;
end $$;

revoke all on function valet_find_connect(bytea) from public;
grant execute on function valet_find_connect(bytea) to valet_app;
