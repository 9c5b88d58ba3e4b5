// Who can call what on a server: each cell is the gateway's own answer to "what if", by the code that decides real calls. Executes nothing.
import type { Server } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { SelectField } from '../parts/form.tsx';
import { Badge, Empty, Failed, Loaded } from '../parts/page.tsx';
import { Table } from '../parts/table.tsx';

type Explanation = Awaited<ReturnType<typeof gateway.policy.explain>>;

/** As many as can be read at a glance, and asked at once without standing in anybody's way. */
const maxUsers = 8;
const maxActions = 8;
const atOnce = 6;

const things = async (server: Server) => {
  const [connectors, users] = await Promise.all([
    gateway.connectors.list({ limit: 200 }),
    gateway.users.list({ limit: maxUsers }),
  ]);
  const ids = connectors.items.map(({ connectorId }) => connectorId);
  return {
    connectors: server.connectors === null ? ids : ids.filter((id) => server.connectors?.includes(id)),
    users: users.items.map(({ username }) => username),
  };
};

export function ServerPreview({ server, isChanged }: { server: Server; isChanged: boolean }) {
  const found = useLoad(() => things(server), [server]);
  const [chosen, setChosen] = useState<string>();
  return (
    <div class="card">
      <div class="row between">
        <h2>Who can call what</h2>
        {isChanged ? <Badge tone="warn">Not saved yet</Badge> : <Badge tone="good">As it is in force</Badge>}
      </div>
      <Loaded of={found}>
        {({ connectors, users }) => {
          const connector = chosen ?? connectors[0];
          if (connector === undefined || users.length === 0) {
            return (
              <Empty title="Nothing to show yet">
                <p>Register a connector and create a user; here you will see what each user may call on this server.</p>
              </Empty>
            );
          }
          return (
            <>
              <SelectField
                label="Connector"
                name="preview-connector"
                value={connector}
                onChoose={setChosen}
                options={connectors.map((id) => ({ value: id, text: id }))}
              />
              <Matrix server={server} connector={connector} users={users} />
            </>
          );
        }}
      </Loaded>
    </div>
  );
}

interface Cell {
  user: string;
  action: string;
  answer: Explanation;
}

async function askAll(server: Server, connector: string, users: readonly string[]): Promise<Cell[]> {
  const { actions } = await gateway.connectors.actions(connector);
  const questions = actions.slice(0, maxActions).flatMap(({ id: action }) => users.map((user) => ({ user, action })));
  const cells: Cell[] = [];
  const ask = async (): Promise<void> => {
    for (let next = questions.shift(); next !== undefined; next = questions.shift()) {
      const { user, action } = next;
      const answer = await gateway.policy.explain({
        userId: user,
        serverId: server.serverId,
        connectorId: connector,
        action,
      });
      cells.push({ user, action, answer });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, ask));
  return cells;
}

/** What comes after the rules: the call is allowed, and something else is missing. */
const isAfterRules = (answer: Explanation): boolean => ['credential', 'arguments'].includes(answer.decidedBy.layer);

function Matrix(props: { server: Server; connector: string; users: readonly string[] }) {
  const { server, connector, users } = props;
  const cells = useLoad(() => askAll(server, connector, users), [server, connector, users.join()]);
  const [open, setOpen] = useState<Cell>();
  return (
    <Loaded of={cells}>
      {(all) => {
        const actions = [...new Set(all.map(({ action }) => action))].sort();
        if (actions.length === 0) return <Failed error={new Error('This connector lists no actions.')} />;
        return (
          <>
            <div class="matrix">
              <Table caption={`Who can call what of ${connector}`} heads={['Action', ...users]}>
                {actions.map((action) => (
                  <tr key={action}>
                    <th scope="row" class="mono small">
                      {action}
                    </th>
                    {users.map((user) => {
                      const cell = all.find((one) => one.user === user && one.action === action);
                      return <td key={user}>{cell && <CellButton cell={cell} onOpen={() => setOpen(cell)} />}</td>;
                    })}
                  </tr>
                ))}
              </Table>
            </div>
            <p class="muted small">
              ✓ allowed · ! allowed, but something is missing (mostly a credential) · ✕ refused. Press a cell to see
              why.
            </p>
            {open && <Why cell={open} />}
          </>
        );
      }}
    </Loaded>
  );
}

function CellButton({ cell, onOpen }: { cell: Cell; onOpen: () => void }) {
  const { answer, user, action } = cell;
  const [look, sign, said] =
    answer.outcome === 'execute'
      ? ['good', '✓', 'allowed']
      : isAfterRules(answer)
        ? ['warn', '!', 'allowed, something is missing']
        : ['bad', '✕', 'refused'];
  return (
    <button type="button" class={`cell ${look}`} onClick={onOpen} aria-label={`${user}, ${action}: ${said}`}>
      {sign}
    </button>
  );
}

function Why({ cell: { user, action, answer } }: { cell: Cell }) {
  return (
    <div class="note" role="status">
      <strong>
        {user} calling {action}: {answer.outcome === 'execute' ? 'would run' : (answer.message ?? 'refused')}
      </strong>
      <ol class="steps small">
        {answer.steps.map((step) => (
          <li key={step.layer + step.detail}>
            {step.allowed ? '✓' : '✕'} <strong>{step.layer}</strong>: {step.detail}
          </li>
        ))}
      </ol>
      {answer.decidedBy.rule && (
        <p class="small">
          Rule: <code>{answer.decidedBy.rule}</code>
        </p>
      )}
    </div>
  );
}
