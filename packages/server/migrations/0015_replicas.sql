-- What replicas share of rate limits: sliding windows in an unlogged table, and which replicas are alive. A crash of the server empties both, which
-- is what they are worth: after a minute every count is as it would have been. Rows belong to the installation; functions alone touch them.

create unlogged table rate_windows (
  key text primary key,
  window_ms integer not null,
  -- Numbers of slots since 1970, of a sixtieth of the window each. Slot n counts in element n % 61 + 1.
  newest bigint not null,
  slots integer[] not null,
  total integer not null,
  expires_at timestamptz not null
  -- Each call updates a row: half of a page is left free for its next versions, and no index but the key's, so that they stay in the page.
) with (fillfactor = 50);
create unlogged table replicas (
  id text primary key,
  seen_at timestamptz not null
);

do $$
declare t text;
begin
  foreach t in array array['rate_windows', 'replicas'] loop
    execute format('alter table %I enable row level security', t);
    execute format('alter table %I force row level security', t);
    execute format('create policy installation_wall on %I to valet_app
      using ((select valet_scope_account()) = ''*'') with check ((select valet_scope_account()) = ''*'')', t);
    execute format('grant select, insert, update, delete on %I to valet_app', t);
  end loop;
end $$;

-- The arithmetic is that of the store in one process (rate-limits/window): 61 slots, the partial oldest counts in full.
create function valet_window_at(w rate_windows, ms integer, slot bigint) returns rate_windows language plpgsql immutable as $$
declare
  i integer;
begin
  if w.window_ms <> ms then
    w.window_ms := ms;
    w.newest := slot;
    w.slots := array_fill(0, array[61]);
    w.total := 0;
  end if;
  for step in 1..least(slot - w.newest, 61) loop
    i := (w.newest + step) % 61 + 1;
    w.total := w.total - w.slots[i];
    w.slots[i] := 0;
  end loop;
  w.newest := greatest(w.newest, slot);
  return w;
end $$;

-- Milliseconds until enough of the oldest slots have left that one more call fits under `most`.
create function valet_window_ttl(w rate_windows, most integer, now_ms double precision) returns double precision language plpgsql immutable as $$
declare
  kept integer := w.total;
begin
  for age in reverse 60..0 loop
    kept := kept - w.slots[(w.newest - age + 61) % 61 + 1];
    if kept < most then return greatest(1, ceil((w.newest - age + 61)::double precision * w.window_ms / 60 - now_ms)); end if;
  end loop;
  return ceil(w.window_ms / 60.0 * 61);
end $$;

-- Counts one attempt if it fits; `current` is over `most` exactly when it did not. `extra`: what was admitted without asking here, counted first.
-- The clock is the server's and is read when the row is ours. `at_ms`: another clock, for tests.
create function valet_take_window(wanted text, ms integer, most integer, extra integer, at_ms double precision)
returns table (current integer, ttl double precision) language plpgsql as $$
#variable_conflict use_variable
declare
  w rate_windows%rowtype;
  now_ms double precision;
  i integer;
  n integer := extra;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  loop
    select r.* into w from rate_windows r where r.key = wanted for update;
    exit when found;
    insert into rate_windows values (wanted, ms, 0, array_fill(0, array[61]), 0, now()) on conflict do nothing;
  end loop;
  now_ms := coalesce(at_ms, extract(epoch from clock_timestamp()) * 1000);
  w := valet_window_at(w, ms, floor(now_ms * 60 / ms)::bigint);
  i := w.newest % 61 + 1;
  w.total := w.total + extra;
  w.slots[i] := w.slots[i] + extra;
  if w.total < most then
    w.total := w.total + 1;
    w.slots[i] := w.slots[i] + 1;
    n := n + 1;
    current := w.total;
    ttl := valet_window_ttl(w, w.total, now_ms);
  else
    current := most + 1;
    ttl := valet_window_ttl(w, most, now_ms);
  end if;
  if n > 0 then
    update rate_windows r set window_ms = w.window_ms, newest = w.newest, slots = w.slots, total = w.total,
      expires_at = clock_timestamp() + ms * interval '1.05 milliseconds' where r.key = wanted;
  end if;
  return next;
end $$;

-- The same answer without counting.
create function valet_peek_window(wanted text, ms integer, most integer, at_ms double precision)
returns table (current integer, ttl double precision) language plpgsql as $$
#variable_conflict use_variable
declare
  w rate_windows%rowtype;
  now_ms double precision := coalesce(at_ms, extract(epoch from clock_timestamp()) * 1000);
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  select r.* into w from rate_windows r where r.key = wanted and r.window_ms = ms;
  current := 0;
  ttl := 0;
  if found then
    w := valet_window_at(w, ms, floor(now_ms * 60 / ms)::bigint);
    current := w.total;
    if w.total > 0 then ttl := valet_window_ttl(w, least(most, w.total), now_ms); end if;
  end if;
  return next;
end $$;

-- Takes back one count that is at most `age_ms` old. Of several it is the oldest: a count that is not ours then leaves later, never sooner.
create function valet_give_back_window(wanted text, ms integer, age_ms double precision, at_ms double precision)
returns void language plpgsql as $$
#variable_conflict use_variable
declare
  w rate_windows%rowtype;
  now_ms double precision;
  i integer;
  slot bigint;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  select r.* into w from rate_windows r where r.key = wanted and r.window_ms = ms for update;
  if not found then return; end if;
  now_ms := coalesce(at_ms, extract(epoch from clock_timestamp()) * 1000);
  w := valet_window_at(w, ms, floor(now_ms * 60 / ms)::bigint);
  slot := greatest(floor((now_ms - age_ms) * 60 / ms)::bigint, w.newest - 60);
  -- A loop over integers would end at 2^31: a second's slots are beyond it.
  while slot <= w.newest loop
    i := slot % 61 + 1;
    if w.slots[i] > 0 then
      w.slots[i] := w.slots[i] - 1;
      update rate_windows r set newest = w.newest, slots = w.slots, total = w.total - 1 where r.key = wanted;
      return;
    end if;
    slot := slot + 1;
  end loop;
end $$;

-- Windows that have run out. One replica at a time; the others have nothing to do.
create function valet_sweep_windows() returns bigint language plpgsql as $$
declare
  gone bigint := 0;
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  if pg_try_advisory_xact_lock(7201925330) then
    delete from rate_windows where expires_at < clock_timestamp();
    get diagnostics gone = row_count;
  end if;
  return gone;
end $$;

-- Says that this replica is alive, or (`alive_ms` 0) that it leaves; answers how many are.
create function valet_beat_replica(replica text, alive_ms integer) returns integer language plpgsql as $$
begin
  perform set_config('role', 'valet_app', true), set_config('valet.account_id', '*', true), set_config('valet.user_id', '*', true);
  if alive_ms = 0 then
    delete from replicas where id = replica;
    return 0;
  end if;
  delete from replicas where seen_at < clock_timestamp() - interval '1 hour';
  insert into replicas values (replica, clock_timestamp()) on conflict (id) do update set seen_at = excluded.seen_at;
  return (select count(*) from replicas where seen_at > clock_timestamp() - alive_ms * interval '1 millisecond');
end $$;

revoke all on function valet_window_at(rate_windows, integer, bigint), valet_window_ttl(rate_windows, integer, double precision),
  valet_take_window(text, integer, integer, integer, double precision), valet_peek_window(text, integer, integer, double precision),
  valet_give_back_window(text, integer, double precision, double precision), valet_sweep_windows(), valet_beat_replica(text, integer) from public;
grant execute on function valet_window_at(rate_windows, integer, bigint), valet_window_ttl(rate_windows, integer, double precision),
  valet_take_window(text, integer, integer, integer, double precision), valet_peek_window(text, integer, integer, double precision),
  valet_give_back_window(text, integer, double precision, double precision), valet_sweep_windows(), valet_beat_replica(text, integer) to valet_app;
