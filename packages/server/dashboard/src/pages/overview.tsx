// How the gateway is doing: calls, errors, latency and limits over time, and what is missing to begin.
import { useState } from 'preact/hooks';
import { useLoad, useRepeated } from '../load.ts';
import { Chart } from '../parts/chart.tsx';
import { Badge, Empty, Loaded, Page } from '../parts/page.tsx';
import { Table } from '../parts/table.tsx';
import { count, duration, milliseconds } from '../words.ts';
import { maxCalls, readOverview } from './overview-data.ts';

type Data = Awaited<ReturnType<typeof readOverview>>;
const everyMs = 10_000;

export function OverviewPage() {
  const overview = useLoad(readOverview, []);
  const [isLive, setLive] = useState(true);
  useRepeated(isLive, everyMs, overview.reload);
  return (
    <Page
      title="Overview"
      actions={
        <label class="check">
          <input type="checkbox" checked={isLive} onChange={(event) => setLive(event.currentTarget.checked)} />
          Keep up to date
        </label>
      }
    >
      <Loaded of={overview}>{(data) => <Body data={data} />}</Loaded>
    </Page>
  );
}

function Body({ data }: { data: Data }) {
  const { hour, sums, status, totals } = data;
  return (
    <>
      <FirstSteps totals={totals} />
      <dl class="tiles">
        <Tile name="Calls, last hour" value={count(sums.calls)} />
        <Tile name="Failed" value={count(sums.failed)} />
        <Tile name="Refused by rules" value={count(sums.refused)} />
        <Tile name="Refused by limits" value={count(sums.limited)} />
        <Tile name="95 of 100 within" value={milliseconds(sums.slowest)} />
      </dl>
      {sums.calls >= maxCalls && <p class="muted small">Drawn are the newest {count(maxCalls)} calls of the hour.</p>}
      <div class="grid">
        <Chart
          title="Calls per minute"
          times={hour.times}
          series={[
            { name: 'Calls', color: '--accent', values: hour.calls },
            { name: 'Failed', color: '--bad', values: hour.failed },
            { name: 'Refused by rules', color: '--muted', values: hour.refused },
            { name: 'Refused by limits', color: '--warn', values: hour.limited },
          ]}
        />
        <Chart
          title="Latency"
          unit="ms"
          times={hour.times}
          series={[
            { name: 'Half of the calls within', color: '--accent', values: hour.typical },
            { name: '95 of 100 within', color: '--warn', values: hour.slowest },
          ]}
        />
        <Chart
          title="30 days"
          step="day"
          times={data.days.map(({ at }) => at)}
          series={[
            { name: 'Calls', color: '--accent', values: data.days.map(({ calls }) => calls) },
            { name: 'Failed', color: '--bad', values: data.days.map(({ failed }) => failed) },
            { name: 'Refused', color: '--warn', values: data.days.map(({ refused }) => refused) },
          ]}
        />
        <MostCalled tools={data.tools} />
      </div>
      <GatewayCard status={status} />
    </>
  );
}

const Tile = ({ name, value }: { name: string; value: string }) => (
  <div class="card tile">
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

function FirstSteps({ totals }: { totals: Data['totals'] }) {
  const steps = [
    { isDone: totals.connectors > 0, href: '/admin/connectors', text: 'Register a connector: what calls shall reach' },
    // The user `default` is there from the beginning.
    { isDone: totals.users > 1, href: '/admin/users', text: 'Create a user and give it a key' },
    { isDone: totals.servers > 0, href: '/admin/servers', text: 'Create a server and connect a client to it' },
  ];
  if (steps.every(({ isDone }) => isDone)) return null;
  return (
    <div class="card">
      <h2>From here to the first call</h2>
      <ol class="steps">
        {steps.map(({ isDone, href, text }) => (
          <li key={href}>
            {isDone ? <Badge tone="good">Done</Badge> : <Badge tone="quiet">To do</Badge>} <a href={href}>{text}</a>
          </li>
        ))}
      </ol>
      <p class="muted small">
        Then open the connector and use “Try a call”: you will see what your application will see, as that user.
      </p>
    </div>
  );
}

function MostCalled({ tools }: { tools: Data['tools'] }) {
  return (
    <div class="card flush">
      <header>
        <h2>Most called, 30 days</h2>
      </header>
      {tools.length === 0 ? (
        <Empty title="No calls yet">
          <p>Tools appear here once somebody calls them.</p>
        </Empty>
      ) : (
        <div class="numeric">
          <Table caption="Most called tools" heads={['Tool', 'Calls', 'Failed', 'Mean']}>
            {tools.map((row) => (
              <tr key={`${row.connectorId ?? ''}.${row.tool ?? ''}`}>
                <th scope="row" class="mono small">
                  {[row.connectorId, row.tool].filter(Boolean).join('.')}
                </th>
                <td class="number">{count(row.calls)}</td>
                <td class="number">{count(row.failed + row.refused)}</td>
                <td class="number">{milliseconds(row.meanLatencyMs)}</td>
              </tr>
            ))}
          </Table>
        </div>
      )}
    </div>
  );
}

const limitTexts: Readonly<Record<string, (value: number) => string>> = {
  callsPerMinute: (value) => `${count(value)} calls per user and minute`,
  listsPerMinute: (value) => `${count(value)} lists per user and minute`,
  managementPerMinute: (value) => `${count(value)} management requests per key and minute`,
  callsInFlight: (value) => `${count(value)} calls of a user at a time`,
  callTimeoutMs: (value) => `${milliseconds(value)} for a call`,
  bodyBytes: (value) => `${value / 1_048_576} MiB for a request`,
  resultBytes: (value) => `${value / 1_048_576} MiB for a result`,
};
const limitText = (name: string, value: number): string => limitTexts[name]?.(value) ?? `${name}: ${count(value)}`;

function GatewayCard({ status }: { status: Data['status'] }) {
  return (
    <div class="card">
      <h2>This gateway</h2>
      <dl class="facts">
        <dt>Version</dt>
        <dd>{status.version}</dd>
        <dt>Running for</dt>
        <dd>{duration(status.uptimeSeconds)}</dd>
        <dt>Database</dt>
        <dd>
          {status.database.kind} {status.database.ok ? <Badge tone="good">OK</Badge> : <Badge tone="bad">Down</Badge>}
        </dd>
        <dt>Limits</dt>
        <dd>
          <ul>
            {Object.entries(status.limits).map(([name, value]) => (
              <li key={name}>{limitText(name, Number(value))}</li>
            ))}
          </ul>
        </dd>
      </dl>
    </div>
  );
}
