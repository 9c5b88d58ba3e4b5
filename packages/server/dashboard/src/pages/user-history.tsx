// What a user did and what was done to it: calls and events as one list.
import { gateway } from '../gateway.ts';
import { Badge, Empty, Loaded, type Tone } from '../parts/page.tsx';
import { More, Table, Time, usePages } from '../parts/table.tsx';
import { milliseconds } from '../words.ts';

const tones: Readonly<Record<string, Tone>> = { ok: 'good', refused: 'warn', failed: 'bad', tool_error: 'warn' };
export function Outcome({ outcome }: { outcome: string | null }) {
  return <Badge tone={tones[outcome ?? ''] ?? 'quiet'}>{outcome?.replace('_', ' ') ?? 'running'}</Badge>;
}

export function UserHistory({ username }: { username: string }) {
  const history = usePages(() => gateway.users.history(username, { limit: 50 }), [username]);
  return (
    <Loaded of={history}>
      {(paged) => (
        <>
          <div class="card flush">
            {paged.items.length === 0 ? (
              <Empty title="Nothing happened yet">
                <p>Calls of this user and changes to it will be listed here. Never arguments, results or secrets.</p>
              </Empty>
            ) : (
              <Table caption="History" heads={['When', 'What', 'Outcome', 'Detail']}>
                {paged.items.map((entry) => (
                  <tr key={entry.id}>
                    <td>
                      <Time at={entry.at} />
                    </td>
                    {entry.type === 'call' ? (
                      <>
                        <td>
                          Called <code>{[entry.call.connectorId, entry.call.tool].filter(Boolean).join('.')}</code>
                        </td>
                        <td>
                          <Outcome outcome={entry.call.outcome} />
                        </td>
                        <td class="muted small">{entry.call.reason ?? milliseconds(entry.call.latencyMs)}</td>
                      </>
                    ) : (
                      <>
                        <td>
                          <code>{entry.event.action}</code>
                        </td>
                        <td>
                          <Outcome outcome={entry.event.outcome} />
                        </td>
                        <td class="muted small">{entry.event.reason ?? entry.event.target ?? ''}</td>
                      </>
                    )}
                  </tr>
                ))}
              </Table>
            )}
          </div>
          <More paged={paged} add={history.add} />
        </>
      )}
    </Loaded>
  );
}
