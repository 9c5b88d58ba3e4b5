// Who can call what on a server: each cell is the gateway's own answer to "what if", by the code that decides real calls, for the rules in
// force and for those being edited. Executes nothing, and knows no rule itself.
import type { Server } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { Choices, SelectField } from '../parts/form.tsx';
import { Badge, Empty, Loaded } from '../parts/page.tsx';
import { Matrix, maxUsers } from './server-matrix.tsx';
import type { Draft } from './server-rules.ts';

/** Users of the first page, out of whom those are chosen who are compared. */
const offeredUsers = 50;

const things = async (server: Server) => {
  const [connectors, users] = await Promise.all([
    gateway.connectors.list({ limit: 200 }),
    gateway.users.list({ limit: offeredUsers }),
  ]);
  const ids = connectors.items.map(({ connectorId }) => connectorId);
  return {
    connectors: server.connectors === null ? ids : ids.filter((id) => server.connectors?.includes(id)),
    users: users.items.map(({ username }) => username),
  };
};

function State({ draft }: { draft: Draft | undefined }) {
  if (draft === undefined) return <Badge tone="good">As it is in force</Badge>;
  return <Badge tone="warn">{draft.problem === undefined ? 'Draft · not saved yet' : 'Cannot be read yet'}</Badge>;
}

export function ServerPreview({ server, draft }: { server: Server; draft: Draft | undefined }) {
  const found = useLoad(() => things(server), [server]);
  const [chosen, setChosen] = useState<string>();
  const [compared, setCompared] = useState<readonly string[]>();
  return (
    <div class="card">
      <div class="row between">
        <h2>Who can call what</h2>
        <State draft={draft} />
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
          const shown = compared ?? users.slice(0, maxUsers);
          return (
            <>
              <SelectField
                label="Connector"
                name="preview-connector"
                value={connector}
                onChoose={setChosen}
                options={connectors.map((id) => ({ value: id, text: id }))}
              />
              {users.length > 1 && <Users all={users} shown={shown} onChoose={setCompared} />}
              <Matrix key={connector} server={server} connector={connector} users={shown} draft={draft} />
            </>
          );
        }}
      </Loaded>
    </div>
  );
}

interface UsersProps {
  all: readonly string[];
  shown: readonly string[];
  onChoose: (users: readonly string[]) => void;
}

function Users({ all, shown, onChoose }: UsersProps) {
  const chosen = shown.length === all.length ? `All ${all.length}` : `${shown.length} of ${all.length}`;
  return (
    <details class="chooser">
      <summary>
        <strong>Users</strong> <span class="muted">{chosen} compared</span>
      </summary>
      <Choices
        legend="Compared users"
        name="preview-users"
        options={all}
        chosen={shown}
        hint={`Up to ${maxUsers} side by side.`}
        onChoose={(user, isOn) => {
          const wanted = all.filter((one) => (one === user ? isOn : shown.includes(one)));
          onChoose(wanted);
        }}
        isFull={shown.length >= maxUsers}
      />
    </details>
  );
}
