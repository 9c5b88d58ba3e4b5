// The MCP endpoints of the account, and how a new one is made.
import type { CreatedServer } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { ShownOnce } from '../parts/copy.tsx';
import { DialogButton } from '../parts/dialog.tsx';
import { Choices, Form, SelectField, TextField } from '../parts/form.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { Badge } from '../parts/page.tsx';
import { Time, usePages } from '../parts/table.tsx';
import { typed } from '../words.ts';
import { ClientConfigs } from './client-configs.tsx';

export const modes = {
  connectivity: 'Connectivity: eight tools that find and run every action',
  direct: 'Direct: the connectors’ own tools, resources and prompts',
} as const;

export function ServersPage() {
  const servers = usePages(() => gateway.servers.list({ limit: 100 }), []);
  return (
    <ListPage
      title="Servers"
      lead="A server is one MCP endpoint with rules of its own. Clients such as Claude or Cursor connect to it."
      create={<NewServer />}
      pages={servers}
      empty={{
        title: 'No servers yet',
        text: 'Publish one for each group of tools that belongs together. It gets an address and a token of its own, and you decide which connectors, actions and users it is for.',
      }}
      heads={['Server', 'Mode', 'Connectors', 'Rules', 'Token', 'Created']}
    >
      {(server) => (
        <tr key={server.serverId}>
          <th scope="row">
            <a href={`/admin/servers/${server.serverId}`}>{server.name}</a>
            {server.description && <div class="muted small">{server.description}</div>}
          </th>
          <td>{server.mode === 'direct' ? 'Direct' : 'Connectivity'}</td>
          <td>{server.connectors?.join(', ') ?? 'All'}</td>
          <td>{server.hasRestrictions ? <Badge tone="good">Restricted</Badge> : <Badge tone="quiet">None</Badge>}</td>
          <td class="mono small">{server.tokenPrefix === null ? '–' : `${server.tokenPrefix}…`}</td>
          <td>
            <Time at={server.createdAt} />
          </td>
        </tr>
      )}
    </ListPage>
  );
}

export function NewServer() {
  return (
    <DialogButton label="Create server" title="Create a server">
      {(close) => <NewServerForm close={close} />}
    </DialogButton>
  );
}

function NewServerForm({ close }: { close: () => void }) {
  const { route } = useLocation();
  const [made, setMade] = useState<CreatedServer>();
  const connectors = useLoad(() => gateway.connectors.list({ limit: 200 }), []);
  if (made !== undefined) {
    const done = () => {
      close();
      route(`/admin/servers/${made.serverId}`);
    };
    return (
      <ShownOnce label="Access token" value={made.accessToken} onDone={done}>
        <ClientConfigs name={made.name} url={made.url} token={made.accessToken} />
      </ShownOnce>
    );
  }
  return (
    <Form
      submit="Create server"
      onCancel={close}
      onSubmit={async (data) => {
        const chosen = data.getAll('connectors').map(String);
        const days = typed(data, 'days');
        setMade(
          await gateway.servers.create({
            name: typed(data, 'name') ?? '',
            description: typed(data, 'description') ?? null,
            mode: data.get('mode') === 'direct' ? 'direct' : 'connectivity',
            connectors: chosen.length > 0 ? chosen : null,
            ...(days !== undefined && { tokenExpiresInDays: Number(days) }),
          }),
        );
      }}
    >
      <TextField label="Name" name="name" required />
      <TextField label="Description (optional)" name="description" />
      <SelectField label="Mode" name="mode" options={Object.entries(modes).map(([value, text]) => ({ value, text }))} />
      <Choices
        legend="Connectors"
        name="connectors"
        options={connectors.data?.items.map(({ connectorId }) => connectorId) ?? []}
        chosen={[]}
        hint="None chosen: all of the account, new ones too."
      />
      <TextField
        label="Token ends after days (optional)"
        name="days"
        type="number"
        min={1}
        max={365}
        hint="Left empty, the token is good until you rotate it."
      />
    </Form>
  );
}
