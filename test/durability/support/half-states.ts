// Questions to a database after a crash that only a torn transaction would answer with rows. Reads only; knows the load of `load.ts`.
import type { Reader } from '../../security/support/dump.ts';

/** Each lists what must not exist. */
const questions: Record<string, string> = {
  'an account without its user default': `select a.id from accounts a where not exists (select from users u where u.account_id = a.id and u.username = 'default')`,
  'a user without its event': `select u.id from users u where u.username <> 'default' and not exists
    (select from audit_events e where e.action = 'user.create' and e.outcome = 'ok' and e.user_id = u.id)`,
  'an event of a user that is not there': `select e.user_id from audit_events e where e.action = 'user.create' and e.outcome = 'ok'
    and not exists (select from users u where u.id = e.user_id)
    and not exists (select from audit_events d where d.action = 'user.delete' and d.outcome = 'ok' and d.user_id = e.user_id)`,
  'a user that was deleted': `select u.id from users u join audit_events e on e.action = 'user.delete' and e.outcome = 'ok' and e.user_id = u.id`,
  'a key without its event': `select k.id from api_keys k where k.kind = 'std' and not exists
    (select from audit_events e where e.action = 'api_key.create' and e.outcome = 'ok' and e.target = k.id)`,
  'an event of a key that is not there': `select e.target from audit_events e where e.action = 'api_key.create' and e.outcome = 'ok' and e.user_id is not null
    and not exists (select from api_keys k where k.id = e.target)
    and not exists (select from audit_events d where d.action = 'user.delete' and d.outcome = 'ok' and d.user_id = e.user_id)`,
  'a server without its token': `select s.id from servers s where not exists (select from api_keys k where k.server_id = s.id)`,
  'a server without its event': `select s.id from servers s where not exists
    (select from audit_events e where e.action = 'server.create' and e.outcome = 'ok' and e.target = s.id)`,
  'an event of a server that is not there': `select e.target from audit_events e where e.action = 'server.create' and e.outcome = 'ok'
    and not exists (select from servers s where s.id = e.target)`,
  'a credential without a secret': `select c.id from credentials c where not exists (select from secrets s where s.credential_id = c.id)`,
  'a credential whose status does not fit': `select c.id from credentials c where c.status <> 'valid'`,
  'a user with two default credentials': `select user_id from credentials where is_default group by user_id, connector_id having count(*) > 1`,
  'a secret without a data key': `select s.credential_id from secrets s where not exists
    (select from data_keys k where k.user_id = s.user_id and k.id = encode(substring(s.sealed from 2 for 16), 'hex'))`,
  'a data key of nobody': `select k.id from data_keys k where not exists (select from users u where u.id = k.user_id)`,
  'a secret with more or fewer versions than events': `select s.credential_id, s.version from secrets s where s.version <>
    (select count(*) from audit_events e where e.action = 'secret.set' and e.outcome = 'ok' and e.user_id = s.user_id)`,
  'an outcome without its time': `select id from calls where (outcome is null) <> (outcome_seq is null)`,
  'a keyed call without its claim': `select c.id from calls c where c.idempotency_key is not null and c.outcome is distinct from 'refused' and not exists
    (select from claims k where k.key = c.idempotency_key)`,
  'a claim that is done though its call is open': `select k.key from claims k join calls c on c.id = k.call_id where k.state = 'done' and c.outcome is null`,
  'a claim of a call that is not there': `select k.key from claims k where k.call_id is not null and not exists (select from calls c where c.id = k.call_id)`,
  'a management claim that is still running': `select k.key from claims k where k.call_id is null and k.state = 'running'`,
};

export async function halfStates(read: Reader): Promise<{ problems: string[]; rows: number }> {
  const problems: string[] = [];
  for (const [what, question] of Object.entries(questions)) {
    const rows = await read(question);
    if (rows.length > 0) problems.push(`${what}: ${rows.length}, such as ${JSON.stringify(rows[0])}`);
  }
  const [counted] = await read(
    'select (select count(*) from users) + (select count(*) from calls) + (select count(*) from audit_events) as rows',
  );
  return { problems, rows: Number(counted?.['rows']) };
}
