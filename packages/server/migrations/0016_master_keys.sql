CREATE TABLE "master_key_holders" (
	"replica" text PRIMARY KEY NOT NULL,
	"key_ids" text[] NOT NULL,
	"wraps_with" integer NOT NULL,
	"seen_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "master_keys" (
	"version" integer PRIMARY KEY NOT NULL,
	"key_id" text NOT NULL,
	"state" text NOT NULL,
	"key_check" "bytea",
	"live" integer,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	"changed_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "master_keys_key_id_unique" UNIQUE("key_id"),
	CONSTRAINT "master_keys_live_unique" UNIQUE("live"),
	CONSTRAINT "master_keys_live" CHECK (live is not distinct from case when state <> 'retired' then version end),
	CONSTRAINT "master_keys_check" CHECK ((state = 'retired') = (key_check is null))
);
--> statement-breakpoint

-- Versions of the master key belong to the installation. What it wrapped points at a version that is not retired: a version is retired only when
-- nothing is left under it, and nothing can be stored under it afterwards, whoever was asleep meanwhile.
alter table installation no force row level security;
insert into master_keys (version, key_id, state, key_check, live)
  select 1, encode(substring(key_check from 2 for 16), 'hex'), 'current', key_check, 1 from installation;
alter table installation force row level security;
create unique index master_keys_current on master_keys (state) where state in ('current', 'next');
alter table keyring add constraint keyring_master_key foreign key (kek_version) references master_keys (live);
alter table data_keys add constraint data_keys_master_key foreign key (kek_version) references master_keys (live);

alter table master_keys enable row level security;
alter table master_keys force row level security;
alter table master_key_holders enable row level security;
alter table master_key_holders force row level security;
create policy installation_wall on master_keys to valet_app
  using ((select valet_scope_account()) = '*') with check ((select valet_scope_account()) = '*');
create policy installation_wall on master_key_holders to valet_app
  using ((select valet_scope_account()) = '*') with check ((select valet_scope_account()) = '*');
grant select, insert on master_keys to valet_app;
grant update (state, key_check, live, changed_at) on master_keys to valet_app;
grant select, insert, update, delete on master_key_holders to valet_app;
grant update (kek_version, wrapped) on keyring to valet_app;
grant update (key_check) on installation to valet_app;

-- Wrapping data keys of all accounts anew takes more than the scope of the installation: the task must be named too.
create policy rewrap on data_keys for select to valet_app
  using ((select valet_scope_account()) = '*' and (select valet_scope_task()) = 'rotation');
create policy rewrap_update on data_keys for update to valet_app
  using ((select valet_scope_account()) = '*' and (select valet_scope_task()) = 'rotation')
  with check ((select valet_scope_account()) = '*' and (select valet_scope_task()) = 'rotation');

-- Reading all of it for a backup, likewise. A table without this policy makes the backup fail; it is never left out in silence.
do $$ declare t record; begin
  for t in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' and relrowsecurity order by relname loop
    execute format('create policy backup on %I for select to valet_app
      using ((select valet_scope_account()) = ''*'' and (select valet_scope_task()) = ''backup'')', t.relname);
  end loop;
end $$;

-- The place of a transaction in the trail. A database that was filled from a backup counts its transactions from the start again, but places must
-- not go back: they are what seals cover. There this function is made anew once, with a distance to add; everywhere else it costs nothing.
create function valet_trail_xid(xid xid8) returns xid8 language sql immutable parallel safe as $$ select xid $$;
ALTER TABLE "audit_events" ALTER COLUMN "xid" SET DEFAULT valet_trail_xid(pg_current_xact_id());
ALTER TABLE "calls" ALTER COLUMN "xid" SET DEFAULT valet_trail_xid(pg_current_xact_id());
drop trigger calls_once on calls;
drop trigger calls_stamped on calls;
create trigger calls_once after update on calls for each row
  when (old.outcome is not null or new.outcome is null or new.outcome_seq is null
    or new.outcome_xid is distinct from valet_trail_xid(pg_current_xact_id()))
  execute function valet_refuse('an outcome is written once, with its position');
create trigger calls_stamped after insert on calls for each row
  when (new.xid <> valet_trail_xid(pg_current_xact_id()) or (new.outcome is null) <> (new.outcome_seq is null)
    or new.outcome_xid is distinct from case when new.outcome is not null then valet_trail_xid(pg_current_xact_id()) end)
  execute function valet_refuse('a row carries its position, and a complete row that of its outcome');
do $$ declare f regprocedure; begin
  foreach f in array array['valet_begin_calls(json)', 'valet_end_calls(json)', 'valet_sweep_calls(integer, integer)']::regprocedure[] loop
    execute replace(pg_get_functiondef(f), 'pg_current_xact_id()', 'valet_trail_xid(pg_current_xact_id())');
  end loop;
end $$;
