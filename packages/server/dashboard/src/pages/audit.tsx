// The trail: search, a live tail, and whether it is still as it was written.
import { useCallback, useState } from 'preact/hooks';
import { gateway, noteError } from '../gateway.ts';
import { useRepeated } from '../load.ts';
import { Badge, Empty, Failed, Loaded, Page } from '../parts/page.tsx';
import { useSession } from '../parts/shell.tsx';
import { More, Table, Time, usePages } from '../parts/table.tsx';
import { count } from '../words.ts';
import { Outcome } from './user-history.tsx';

const everyMs = 2_000;
type Wanted = 'ok' | 'refused' | 'failed' | undefined;

export function AuditPage() {
  const [search, setSearch] = useState('');
  const [outcome, setOutcome] = useState<Wanted>(undefined);
  const [isLive, setLive] = useState(false);
  const query = { limit: 50, ...(search !== '' && { search }), ...(outcome !== undefined && { outcome }) };
  const events = usePages(() => gateway.audit.list(query), [search, outcome]);
  useRepeated(isLive, everyMs, events.reload);
  return (
    <Page title="Audit" lead="Who did what to whom, allowed or refused. Never values.">
      <Verify />
      <search class="row">
        <input
          class="search"
          type="search"
          aria-label="Search the trail"
          placeholder="Action, target, reason…"
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value.trim())}
        />
        <label class="check">
          <span>Outcome</span>
          <select
            value={outcome ?? ''}
            onChange={({ currentTarget: { value } }) =>
              setOutcome(value === 'ok' || value === 'refused' || value === 'failed' ? value : undefined)
            }
          >
            <option value="">All</option>
            <option value="ok">OK</option>
            <option value="refused">Refused</option>
            <option value="failed">Failed</option>
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={isLive} onChange={(event) => setLive(event.currentTarget.checked)} />
          Live
        </label>
        {isLive && <Badge tone="good">Following</Badge>}
      </search>
      <Loaded of={events}>
        {(paged) => (
          <>
            <div class="card flush">
              {paged.items.length === 0 ? (
                <Empty title="Nothing fits">
                  <p>Search for a part of an action, a target or a reason.</p>
                </Empty>
              ) : (
                <Table caption="Audit events" heads={['When', 'Action', 'Outcome', 'Target', 'By', 'From']}>
                  {paged.items.map((event) => (
                    <tr key={event.eventId}>
                      <td>
                        <Time at={event.at} />
                      </td>
                      <th scope="row">
                        <code>{event.action}</code>
                      </th>
                      <td>
                        <Outcome outcome={event.outcome} />
                        {event.reason && <div class="muted small">{event.reason}</div>}
                      </td>
                      <td class="small">{event.target ?? event.attemptedUser ?? '–'}</td>
                      <td class="mono small" title={event.actor.keyId ?? undefined}>
                        {event.actor.keyId === null ? 'gateway' : `${event.actor.keyId.slice(0, 10)}…`}
                      </td>
                      <td class="mono small">{event.address ?? '–'}</td>
                    </tr>
                  ))}
                </Table>
              )}
            </div>
            <More paged={paged} add={events.add} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

type Verification = Awaited<ReturnType<typeof gateway.audit.verify>>;

/** Reads the whole trail of the installation: on request only. */
function Verify() {
  const { kind } = useSession();
  const [state, setState] = useState<{ found?: Verification; error?: unknown; isBusy: boolean }>({ isBusy: false });
  const verify = useCallback(async () => {
    setState({ isBusy: true });
    try {
      setState({ found: await gateway.audit.verify(), isBusy: false });
    } catch (error) {
      noteError(error);
      setState({ error, isBusy: false });
    }
  }, []);
  if (kind !== 'adm') return null;
  const { found, error, isBusy } = state;
  return (
    <div class="card">
      <div class="row between">
        <div>
          <h2>Is the trail as it was written?</h2>
          <p class="muted small">Compares every row with signed checkpoints, which hold each other in a chain.</p>
        </div>
        <button type="button" class="button" disabled={isBusy} aria-busy={isBusy} onClick={() => void verify()}>
          {isBusy ? 'Verifying…' : 'Verify now'}
        </button>
      </div>
      {error !== undefined && <Failed error={error} />}
      {found && (
        <p class={`note ${found.ok ? 'good' : 'bad'}`} role="status">
          {found.ok
            ? `Intact: ${count(found.rows)} rows under ${count(found.checkpoints)} checkpoints; ${count(found.unsealed)} newer rows are not sealed yet.`
            : `Broken: ${found.firstBad?.problem ?? 'unknown'} (${found.firstBad?.table ?? ''} ${found.firstBad?.id ?? ''})`}
        </p>
      )}
    </div>
  );
}
