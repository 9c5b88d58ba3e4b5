ALTER TABLE "dashboard_sessions" ADD COLUMN "admitted_by" text[];
--> statement-breakpoint

-- What a person's session rests on is not known of older ones: everybody signs in once more.
alter table dashboard_sessions no force row level security;
delete from dashboard_sessions;
alter table dashboard_sessions force row level security;

-- As in 0014, and what the session rests on.
drop function valet_find_session(bytea);
create function valet_find_session(session_hash bytea)
returns table (
  session_id text, session_ms double precision, admitted_by text[],
  key_id text, kind text, account_id text, key_name text, user_id text, username text, user_enabled boolean,
  server_id text, acts_for_users boolean, owner_user_id text, owner_username text, owner_enabled boolean,
  remaining_ms double precision, revoked boolean, scopes text[], allowed_users text[], delegation jsonb, account_enabled boolean
) language plpgsql as $$
#variable_conflict use_column
declare
  s record;
  key_hash bytea;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '', true), set_config('valet.user_id', '*', true),
    set_config('valet.key_hash', encode(session_hash, 'hex'), true);
  select d.id, d.account_id, d.key_id, d.expires_at, d.admitted_by into s from dashboard_sessions d where d.hash = session_hash;
  if not found then return; end if;
  perform set_config('valet.account_id', s.account_id, true);
  select a.hash into key_hash from api_keys a where a.account_id = s.account_id and a.id = s.key_id;
  if not found then return; end if;
  return query
  select s.id, (extract(epoch from s.expires_at - clock_timestamp()) * 1000)::double precision, s.admitted_by, p.*
  from valet_find_principal(key_hash) p;
end $$;

revoke all on function valet_find_session(bytea) from public;
grant execute on function valet_find_session(bytea) to valet_app;
