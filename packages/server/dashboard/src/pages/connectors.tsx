// Upstreams of the account and how one is registered: an MCP server, a REST API by its OpenAPI document, or a catalogued command.
import type { Connector } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { DialogButton } from '../parts/dialog.tsx';
import { DocumentFields, documentOf } from '../parts/document-fields.tsx';
import { Form, SelectField, TextField } from '../parts/form.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { Badge, type Tone } from '../parts/page.tsx';
import { usePages } from '../parts/table.tsx';
import { typed, words } from '../words.ts';

export const kinds = { 'mcp-http': 'MCP server', 'mcp-stdio': 'Local MCP server', http: 'REST API' } as const;
const tones: Readonly<Record<Connector['status'], Tone>> = {
  connected: 'good',
  connecting: 'quiet',
  disconnected: 'quiet',
  error: 'bad',
};
const said: Readonly<Record<Connector['status'], string>> = {
  connected: 'Connected',
  connecting: 'Connecting',
  disconnected: 'Not asked yet',
  error: 'Error',
};

export function Health({ connector }: { connector: Connector }) {
  if (!connector.enabled) return <Badge tone="warn">Switched off</Badge>;
  return <Badge tone={tones[connector.status]}>{said[connector.status]}</Badge>;
}

export function ConnectorsPage() {
  const connectors = usePages(() => gateway.connectors.list({ limit: 100 }), []);
  return (
    <ListPage
      title="Connectors"
      lead="What your users’ calls reach: MCP servers and REST APIs. Each user signs in with credentials of their own."
      create={<NewConnector />}
      pages={connectors}
      empty={{
        title: 'No connectors yet',
        text: 'Register the address of an MCP server, or import the OpenAPI document of any REST API: its operations become tools.',
      }}
      heads={['Connector', 'Kind', 'Health', 'Users need']}
    >
      {(connector) => (
        <tr key={connector.connectorId}>
          <th scope="row">
            <a href={`/admin/connectors/${encodeURIComponent(connector.connectorId)}`}>{connector.name}</a>
            <div class="muted small mono">{connector.connectorId}</div>
          </th>
          <td>{kinds[connector.kind]}</td>
          <td>
            <Health connector={connector} />
          </td>
          <td>{needs(connector)}</td>
        </tr>
      )}
    </ListPage>
  );
}

export function needs({ oauth, secretNames }: Connector): string {
  if (oauth !== null) return 'To sign in (OAuth)';
  return secretNames.length > 0 ? secretNames.join(', ') : 'Nothing';
}

function NewConnector() {
  return (
    <DialogButton label="Register connector" title="Register a connector">
      {(close) => <NewConnectorForm close={close} />}
    </DialogButton>
  );
}

type Kind = keyof typeof kinds;
const isKind = (text: string): text is Kind => Object.hasOwn(kinds, text);

function NewConnectorForm({ close }: { close: () => void }) {
  const { route } = useLocation();
  const [kind, setKind] = useState<Kind>('mcp-http');
  const [signIn, setSignIn] = useState('none');
  return (
    <Form
      submit="Register"
      onCancel={close}
      onSubmit={async (data) => {
        const made = await gateway.connectors.create(await readConnector(data, kind));
        close();
        route(`/admin/connectors/${encodeURIComponent(made.connectorId)}`);
      }}
    >
      <SelectField
        label="Kind"
        name="kind"
        value={kind}
        onChoose={(value) => isKind(value) && setKind(value)}
        options={[
          { value: 'mcp-http', text: 'MCP server, by its address' },
          { value: 'http', text: 'REST API, by its OpenAPI document' },
          { value: 'mcp-stdio', text: 'Command of the operator’s catalogue' },
        ]}
      />
      <TextField
        label="Id"
        name="id"
        required
        pattern="[a-z0-9][a-z0-9_\-]*"
        hint="Short and in lower case, such as github. Rules and tool names use it."
      />
      <TextField label="Name (optional)" name="name" />
      {kind === 'mcp-http' && (
        <TextField label="Address" name="url" type="url" required placeholder="https://mcp.example.com/mcp" />
      )}
      {kind === 'mcp-stdio' && <TextField label="Entry of the catalogue" name="entry" required />}
      {kind === 'http' && <DocumentFields />}
      {kind !== 'mcp-stdio' && (
        <SelectField
          label="How users sign in"
          name="signIn"
          value={signIn}
          onChoose={setSignIn}
          options={[
            { value: 'none', text: 'Not at all: it is open, or its document says how' },
            { value: 'secret', text: 'With a secret of their own in a header' },
            ...(kind === 'mcp-http' ? [{ value: 'oauth', text: 'With OAuth, as the server itself describes' }] : []),
          ]}
        />
      )}
      {kind !== 'mcp-stdio' && signIn === 'secret' && (
        <>
          <TextField label="Name of the secret" name="secret" required defaultValue="API_KEY" />
          <TextField label="Header" name="header" required defaultValue="Authorization" />
          <TextField
            label="Value of the header"
            name="template"
            required
            defaultValue="Bearer {{API_KEY}}"
            hint="The secret’s name in double braces is replaced in each call."
          />
        </>
      )}
    </Form>
  );
}

type NewConnectorInput = Parameters<typeof gateway.connectors.create>[0];

async function readConnector(data: FormData, kind: Kind): Promise<NewConnectorInput> {
  const connectorId = typed(data, 'id') ?? '';
  const name = typed(data, 'name');
  const header = typed(data, 'header');
  const signIn = data.get('signIn');
  const common = {
    connectorId,
    ...(name !== undefined && { name }),
    ...(signIn === 'secret' &&
      header !== undefined && {
        secretNames: words(data.get('secret')),
        inject: { headers: { [header]: typed(data, 'template') ?? '' } },
      }),
  };
  if (kind === 'mcp-stdio') return { ...common, kind, entry: typed(data, 'entry') ?? '' };
  if (kind === 'mcp-http') {
    return { ...common, kind, url: typed(data, 'url') ?? '', ...(signIn === 'oauth' && { oauth: {} }) };
  }
  const baseUrl = typed(data, 'baseUrl');
  return { ...common, kind, openapi: await documentOf(data), ...(baseUrl !== undefined && { baseUrl }) };
}
