-- Keys that are kept to some users, delegated tokens that end with the key that minted them, and who of the connected may stay.

-- A scope names one user, several (separated by spaces), or '*'.
create function valet_scope_users() returns text[] language sql stable parallel safe as
$$ select string_to_array(nullif(current_setting('valet.user_id', true), ''), ' ') $$;

do $$
declare t text;
begin
  foreach t in array array['api_keys', 'credentials', 'data_keys', 'secrets', 'calls', 'claims', 'user_identities', 'group_members', 'limit_rules'] loop
    execute format('alter policy user_wall on %I
      using ((select valet_scope_user()) = ''*'' or user_id = any ((select valet_scope_users())::text[]))
      with check ((select valet_scope_user()) = ''*'' or user_id = any ((select valet_scope_users())::text[]))', t);
  end loop;
end $$;

alter policy user_wall on users
  using ((select valet_scope_user()) = '*' or id = any ((select valet_scope_users())::text[]))
  with check ((select valet_scope_user()) = '*' or id = any ((select valet_scope_users())::text[]));
alter policy user_wall on audit_events
  using ((select valet_scope_user()) = '*' or user_id = any ((select valet_scope_users())::text[]) or actor_user_id = any ((select valet_scope_users())::text[]));
alter policy user_wall on connect_requests
  using ((select valet_scope_user()) = '*' or user_id = any ((select valet_scope_users())::text[])
    or (hash = (select valet_scope_key_hash())) or (state_hash = (select valet_scope_key_hash())))
  with check ((select valet_scope_user()) = '*' or user_id = any ((select valet_scope_users())::text[]));

-- As in migration 0003, with what narrows a key, what a delegated token may, and whether the account is in use. A delegated token is as good as the key that minted it: revoked, expired or ownerless, the key takes it along.
drop function valet_find_principal(bytea);
create function valet_find_principal(key_hash bytea)
returns table (
  key_id text, kind text, account_id text, key_name text, user_id text, username text, user_enabled boolean,
  server_id text, acts_for_users boolean, owner_user_id text, owner_username text, owner_enabled boolean,
  remaining_ms double precision, revoked boolean, scopes text[], allowed_users text[], delegation jsonb, account_enabled boolean
) language plpgsql as $$
#variable_conflict use_column
declare k record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.key_hash', encode(key_hash, 'hex'), true);
  select a.id, a.kind, a.account_id, a.name, a.user_id, a.server_id, a.expires_at, a.revoked_at, a.scopes, a.allowed_users, a.delegation
    into k from api_keys a where a.hash = key_hash;
  if not found then return; end if;
  perform set_config('valet.account_id', k.account_id, true);
  return query
  select k.id, k.kind, k.account_id, k.name, k.user_id, u.username, u.enabled, k.server_id, s.acts_for_users, s.owner_user_id, o.username, o.enabled,
    -- Counted by the database clock; the caller counts down monotonically. Null: never expires.
    (extract(epoch from k.expires_at - clock_timestamp()) * 1000)::double precision,
    k.revoked_at is not null or (k.kind = 'usr' and not exists (
      select from api_keys m left join users p on p.account_id = m.account_id and p.id = m.user_id
      where m.account_id = k.account_id and m.id = k.delegation->>'mintedBy' and m.revoked_at is null
        and (m.expires_at is null or m.expires_at > clock_timestamp()) and (m.user_id is null or p.enabled)
        -- Narrowed since: the key could not mint it any more.
        and (m.allowed_users is null or k.user_id = any (m.allowed_users)))),
    k.scopes, k.allowed_users, k.delegation, a.enabled
  from (select) as one
    left join accounts a on a.id = k.account_id
    left join users u on u.account_id = k.account_id and u.id = k.user_id
    left join servers s on s.account_id = k.account_id and s.id = k.server_id
    left join users o on o.account_id = k.account_id and o.id = s.owner_user_id;
end $$;

-- Of those who are connected, who may stay no longer: one statement for all that a replica holds, whatever was or was not notified. `connected`
-- is a list of {n, account, key, kind, user, server, issuer, token, since}: `since` is when they were let in, in milliseconds. Without `key`: what is
-- kept for a user whoever asked for it.
create function valet_find_ended(connected json) returns table (n integer) language plpgsql as $$
#variable_conflict use_column
declare part record;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.user_id', '*', true);
  for part in
    select c.account, json_agg(c.one) as ones
    from (select e->>'account' as account, e as one from json_array_elements(connected) as e) as c group by c.account
  loop
    perform set_config('valet.account_id', part.account, true);
    return query
    select o.n
    from json_to_recordset(part.ones)
      as o(n integer, key text, kind text, "user" text, server text, issuer text, token text, since double precision)
      left join accounts a on a.id = part.account
      left join users u on u.account_id = part.account and u.id = o."user"
      left join api_keys k on k.account_id = part.account and k.id = o.key
      left join users p on p.account_id = part.account and p.id = k.user_id
      left join api_keys m on m.account_id = part.account and m.id = k.delegation->>'mintedBy'
      left join users q on q.account_id = part.account and q.id = m.user_id
      left join issuers i on i.account_id = part.account and i.id = o.issuer
      left join servers s on s.account_id = part.account and s.id = o.server
    where a.enabled is not true
      or u.enabled is not true
      or (o.server is not null and s.id is null)
      or (o.key is not null and o.kind <> 'jwt' and (
        k.id is null or k.revoked_at is not null or k.expires_at <= clock_timestamp()
        or (k.user_id is not null and p.enabled is not true)
        or not (k.allowed_users is null or o."user" = any (k.allowed_users))
        or (k.kind <> 'usr' and not (k.scopes is null or exists (
          select from unnest(k.scopes) as h(scope)
          where h.scope = 'tools:call' or (right(h.scope, 1) = '*' and starts_with('tools:call', left(h.scope, -1))))))
        or (k.kind = 'usr' and (
          m.id is null or m.revoked_at is not null or m.expires_at <= clock_timestamp() or (m.user_id is not null and q.enabled is not true)
          or not (m.allowed_users is null or o."user" = any (m.allowed_users))))))
      or (o.issuer is not null and (
        -- The embedding application's own sign-in is no row.
        (o.issuer <> 'verifyToken' and i.enabled is not true)
        or extract(epoch from u.tokens_not_before) * 1000 > o.since
        or exists (select from revoked_tokens r where r.account_id = part.account and r.issuer_id = o.issuer and r.token_id = o.token)));
  end loop;
end $$;

revoke all on function valet_find_principal(bytea), valet_find_ended(json) from public;
grant execute on function valet_find_principal(bytea), valet_find_ended(json) to valet_app;
