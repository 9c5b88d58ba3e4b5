CREATE TABLE "epochs" (
	"id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "epochs_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"epoch" text NOT NULL,
	"place" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint

-- Segments belong to the installation, are added and read, never changed.
alter table epochs enable row level security;
alter table epochs force row level security;
create policy installation_wall on epochs to valet_app
  using ((select valet_scope_account()) = '*') with check ((select valet_scope_account()) = '*');
grant select, insert on epochs to valet_app;

-- The segment of now. A new one begins where the newest was made elsewhere: in another cluster or database (a dump was loaded), on another timeline (a
-- backup was played forward, or a standby took over, which may have missed the last rows), or in another directory (`place`, the embedded database).
create function valet_epoch(place text) returns text language plpgsql as $$
#variable_conflict use_variable
declare
  here text;
  newest epochs%rowtype;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  select concat_ws(' ', s.system_identifier, c.timeline_id, d.oid, place) into here
    from pg_control_system() s, pg_control_checkpoint() c, pg_database d where d.datname = current_database();
  for attempt in 1..2 loop
    select e.* into newest from epochs e order by e.id desc limit 1;
    if newest.place = here then return newest.epoch; end if;
    -- Replicas that start at once begin one segment.
    if attempt = 1 then perform pg_advisory_xact_lock(7201925315); end if;
  end loop;
  insert into epochs (epoch, place) values (replace(gen_random_uuid()::text, '-', ''), here) returning epochs.epoch into newest.epoch;
  return newest.epoch;
end $$;
