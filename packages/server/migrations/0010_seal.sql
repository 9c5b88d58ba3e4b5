-- Seals of the trail and its retention: who may read rows of every account for it, and the one way in which a sealed row may go.

create function valet_scope_task() returns text language sql stable parallel safe as
$$ select nullif(current_setting('valet.task', true), '') $$;

-- What a checkpoint covers, a leaf per row: kind (1 byte), seq (8), SHA-256 (32). The root is their hash, so a changed list shows.
alter table checkpoints add column leaves bytea not null;
create index checkpoints_closing on checkpoints (id) where closing is not null;

-- The sealer reads by transaction id. Both grow at their right end only, which is what an insert costs least.
create index calls_xid on calls (xid);
create index calls_outcome_xid on calls (outcome_xid) where outcome_xid is not null;
create index audit_xid on audit_events (xid);
-- People read an account's trail by who, whom and what.
create index audit_account_user on audit_events (account_id, user_id, seq);
create index audit_account_actor on audit_events (account_id, actor_user_id, seq) where actor_user_id is not null;
create index audit_account_key on audit_events (account_id, actor_key_id, seq) where actor_key_id is not null;
create index audit_account_action on audit_events (account_id, action, seq);
create index audit_request on audit_events (request_id) where request_id is not null;
create index calls_request on calls (request_id);

-- Reading the trail of all accounts takes more than the scope of the installation: the task must be named too.
create policy seal on audit_events for select to valet_app
  using ((select valet_scope_account()) = '*' and (select valet_scope_task()) in ('seal', 'retention'));

-- Rows of transactions below the newest closing checkpoint may be deleted, checkpoints up to the one that it remembers. Index: checkpoints_closing.
create function valet_closed_below() returns xid8 language sql stable as
$$ select (closing->>'floor')::xid8 from checkpoints where closing is not null order by id desc limit 1 $$;
create function valet_closed_through() returns bigint language sql stable as
$$ select (closing->>'through')::bigint from checkpoints where closing is not null order by id desc limit 1 $$;

grant delete on calls, audit_events, checkpoints to valet_app;
create policy retention on calls for delete to valet_app using ((select valet_scope_account()) = '*' and (select valet_scope_task()) = 'retention');
create policy retention on audit_events for delete to valet_app using ((select valet_scope_account()) = '*' and (select valet_scope_task()) = 'retention');
create policy keep on calls as restrictive for delete to valet_app using ((select valet_scope_account()) = '*'
  and (select valet_scope_task()) = 'retention' and xid < (select valet_closed_below()) and outcome_xid < (select valet_closed_below()));
create policy keep on audit_events as restrictive for delete to valet_app using ((select valet_scope_account()) = '*'
  and (select valet_scope_task()) = 'retention' and xid < (select valet_closed_below()));
create policy keep on checkpoints as restrictive for delete to valet_app using ((select valet_scope_account()) = '*'
  and (select valet_scope_task()) = 'retention' and id <= (select valet_closed_through()));

-- The same for every role, the owner included: without the task nothing is deleted at all, with it only what is closed.
create function valet_keep_open_rows() returns trigger language plpgsql as $$
begin
  if tg_table_name = 'checkpoints' then
    if old.id <= valet_closed_through() then return old; end if;
  elsif tg_table_name = 'audit_events' then
    if old.xid < valet_closed_below() then return old; end if;
  elsif tg_table_name = 'calls' then
    if old.xid < valet_closed_below() and old.outcome_xid < valet_closed_below() then return old; end if;
  end if;
  raise exception 'DELETE on % is refused: no closing checkpoint covers the row', tg_table_name using errcode = 'restrict_violation';
end $$;

drop trigger calls_keep on calls;
drop trigger audit_events_keep on audit_events;
create trigger calls_keep before truncate on calls execute function valet_refuse('the journal is append-only');
create trigger audit_events_keep before update or truncate on audit_events execute function valet_refuse('the audit trail is append-only');
create trigger checkpoints_keep before update or truncate on checkpoints execute function valet_refuse('seals do not change');
create trigger calls_keep_all before delete on calls when (current_setting('valet.task', true) is distinct from 'retention')
  execute function valet_refuse('the journal is append-only');
create trigger audit_events_keep_all before delete on audit_events when (current_setting('valet.task', true) is distinct from 'retention')
  execute function valet_refuse('the audit trail is append-only');
create trigger checkpoints_keep_all before delete on checkpoints when (current_setting('valet.task', true) is distinct from 'retention')
  execute function valet_refuse('seals are kept');
create trigger calls_keep_open before delete on calls for each row execute function valet_keep_open_rows();
create trigger audit_events_keep_open before delete on audit_events for each row execute function valet_keep_open_rows();
create trigger checkpoints_keep_open before delete on checkpoints for each row execute function valet_keep_open_rows();
