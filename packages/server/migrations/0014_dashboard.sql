CREATE TABLE "dashboard_sessions" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"key_id" text NOT NULL,
	"hash" "bytea" NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "dashboard_sessions_account" CHECK (account_id <> '')
);
--> statement-breakpoint
ALTER TABLE "dashboard_sessions" ADD CONSTRAINT "dashboard_sessions_account_id_accounts_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."accounts"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "dashboard_sessions" ADD CONSTRAINT "dashboard_sessions_key_id_api_keys_id_fk" FOREIGN KEY ("key_id") REFERENCES "public"."api_keys"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "dashboard_sessions_hash" ON "dashboard_sessions" USING btree ("hash");--> statement-breakpoint
CREATE INDEX "dashboard_sessions_key" ON "dashboard_sessions" USING btree ("key_id");--> statement-breakpoint
CREATE INDEX "dashboard_sessions_expiry" ON "dashboard_sessions" USING btree ("expires_at");--> statement-breakpoint

-- Sessions are seen by whoever manages the whole account, and at sign-in by whoever presents them.
alter table dashboard_sessions enable row level security;
alter table dashboard_sessions force row level security;
create policy account_wall on dashboard_sessions to valet_app
  using (account_id = (select valet_scope_account())) with check (account_id = (select valet_scope_account()));
create policy user_wall on dashboard_sessions as restrictive to valet_app
  using ((select valet_scope_user()) = '*') with check ((select valet_scope_user()) = '*');
create policy sign_in on dashboard_sessions for select to valet_app using (hash = (select valet_scope_key_hash()));
-- Work of the installation: what is past its time in every account.
create policy sweep on dashboard_sessions for select to valet_app using ((select valet_scope_account()) = '*');
create policy sweep_delete on dashboard_sessions for delete to valet_app using ((select valet_scope_account()) = '*' and expires_at <= now());
grant select, insert, update, delete on dashboard_sessions to valet_app;

-- A session and the key it stands for, as that key's own sign-in would find it: whatever ends or narrows the key is said by one statement only.
create function valet_find_session(session_hash bytea)
returns table (
  session_id text, session_ms double precision,
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
  select d.id, d.account_id, d.key_id, d.expires_at into s from dashboard_sessions d where d.hash = session_hash;
  if not found then return; end if;
  perform set_config('valet.account_id', s.account_id, true);
  select a.hash into key_hash from api_keys a where a.account_id = s.account_id and a.id = s.key_id;
  if not found then return; end if;
  return query
  select s.id, (extract(epoch from s.expires_at - clock_timestamp()) * 1000)::double precision, p.* from valet_find_principal(key_hash) p;
end $$;

revoke all on function valet_find_session(bytea) from public;
grant execute on function valet_find_session(bytea) to valet_app;
