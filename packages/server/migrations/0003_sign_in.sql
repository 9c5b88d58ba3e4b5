-- From the hash of a presented token to everything that identity needs, in one round trip, with the rights of the request role and no more.
-- The scope opens in two steps: first only the row with that hash can be seen, then only that row's account. Index: api_keys_hash.

create function valet_find_principal(key_hash bytea)
returns table (
  key_id text, kind text, account_id text, key_name text, user_id text, username text, user_enabled boolean,
  server_id text, acts_for_users boolean, owner_user_id text, owner_username text, owner_enabled boolean,
  remaining_ms double precision, revoked boolean
) language plpgsql as $$
#variable_conflict use_column
declare k record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.key_hash', encode(key_hash, 'hex'), true);
  select a.id, a.kind, a.account_id, a.name, a.user_id, a.server_id, a.expires_at, a.revoked_at into k from api_keys a where a.hash = key_hash;
  if not found then return; end if;
  perform set_config('valet.account_id', k.account_id, true);
  return query
  select k.id, k.kind, k.account_id, k.name, k.user_id, u.username, u.enabled, k.server_id, s.acts_for_users, s.owner_user_id, o.username, o.enabled,
    -- Counted by the database clock; the caller counts down monotonically. Null: never expires.
    (extract(epoch from k.expires_at - clock_timestamp()) * 1000)::double precision, k.revoked_at is not null
  from (select) as one
    left join users u on u.account_id = k.account_id and u.id = k.user_id
    left join servers s on s.account_id = k.account_id and s.id = k.server_id
    left join users o on o.account_id = k.account_id and o.id = s.owner_user_id;
end $$;

revoke all on function valet_find_principal(bytea) from public;
grant execute on function valet_find_principal(bytea) to valet_app;
