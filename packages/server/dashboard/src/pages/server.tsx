// One server: settings, rules with what they come to, token, and how clients connect.
import type { Server } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { SecretOnce } from '../parts/copy.tsx';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { AreaField, Choices, Form, overlaps, SelectField, TextField } from '../parts/form.tsx';
import { Loaded, Page } from '../parts/page.tsx';
import { Tabs } from '../parts/tabs.tsx';
import { exactTime, typed } from '../words.ts';
import { ClientConfigs } from './client-configs.tsx';
import { ServerRestrictions } from './server-restrictions.tsx';
import { modes } from './servers.tsx';

export function ServerPage() {
  const id = useRoute().params['id'] ?? '';
  const server = useLoad(() => gateway.servers.get(id), [id]);
  const { route } = useLocation();
  return (
    <Page
      title={server.data?.name ?? 'Server'}
      crumb={{ href: '/admin/servers', text: 'Servers' }}
      lead={server.data?.description}
      actions={
        server.data && (
          <ConfirmButton
            label="Delete"
            title={`Delete ${server.data.name}?`}
            text="Its address and tokens stop working at once. Users, connectors and credentials stay."
            confirm="Delete server"
            typed={server.data.name}
            onConfirm={async () => {
              await gateway.servers.delete(id);
              route('/admin/servers');
            }}
          />
        )
      }
    >
      <Loaded of={server}>
        {(found) => (
          <Tabs
            label="About this server"
            tabs={[
              { name: 'Connect', show: () => <Connect server={found} reload={server.reload} /> },
              { name: 'Who can call what', show: () => <ServerRestrictions server={found} reload={server.reload} /> },
              { name: 'Settings', show: () => <ServerSettings server={found} reload={server.reload} /> },
            ]}
          />
        )}
      </Loaded>
    </Page>
  );
}

interface Part {
  server: Server;
  reload: () => void;
}

function Connect({ server, reload }: Part) {
  const [token, setToken] = useState<string>();
  return (
    <>
      <dl class="facts card">
        <dt>Address</dt>
        <dd class="mono">{server.url}</dd>
        <dt>Access token</dt>
        <dd>
          <span class="mono">{server.tokenPrefix === null ? 'none' : `${server.tokenPrefix}…`}</span>{' '}
          <span class="muted">
            {server.tokenExpiresAt === null ? 'does not expire' : `ends ${exactTime(server.tokenExpiresAt)}`}
          </span>
        </dd>
        <dt>Rotate</dt>
        <dd>
          <DialogButton label="Rotate token" look="" title="Rotate the access token">
            {(close) => (
              <Form
                submit="Rotate token"
                isDanger
                onCancel={close}
                onSubmit={async (data) => {
                  const made = await gateway.servers.rotateToken(server.serverId, {
                    overlapSeconds: Number(typed(data, 'overlap') ?? 0),
                  });
                  setToken(made.accessToken);
                  close();
                  reload();
                }}
              >
                <p>Clients need the new token. The old one stops after the overlap.</p>
                <SelectField label="The old token works for" name="overlap" options={overlaps} />
              </Form>
            )}
          </DialogButton>
        </dd>
      </dl>
      {token !== undefined && (
        <div class="card">
          <SecretOnce label="New access token" value={token} />
        </div>
      )}
      <div class="card">
        <h2>Connect a client</h2>
        <ClientConfigs name={server.name} url={server.url} token={token} />
      </div>
    </>
  );
}

function ServerSettings({ server, reload }: Part) {
  const connectors = useLoad(() => gateway.connectors.list({ limit: 200 }), []);
  const [isSaved, setSaved] = useState(false);
  return (
    <div class="card">
      <h2>Settings</h2>
      <Loaded of={connectors}>
        {(page) => (
          <Form
            submit="Save settings"
            onSubmit={async (data) => {
              const chosen = data.getAll('connectors').map(String);
              const max = typed(data, 'max');
              await gateway.servers.update(server.serverId, {
                name: typed(data, 'name') ?? server.name,
                description: typed(data, 'description') ?? null,
                customInstructions: typed(data, 'instructions') ?? null,
                mode: data.get('mode') === 'direct' ? 'direct' : 'connectivity',
                onUnknownUser: data.get('unknown') === 'fallback' ? 'fallback' : 'reject',
                connectors: chosen.length > 0 ? chosen : null,
                rateLimit: max === undefined ? null : { max: Number(max), windowSeconds: 60 },
              });
              setSaved(true);
              reload();
            }}
          >
            <TextField label="Name" name="name" required defaultValue={server.name} />
            <TextField label="Description" name="description" defaultValue={server.description ?? ''} />
            <SelectField
              label="Mode"
              name="mode"
              value={server.mode}
              options={Object.entries(modes).map(([value, text]) => ({ value, text }))}
            />
            <Choices
              legend="Connectors"
              name="connectors"
              options={[...new Set([...page.items.map((one) => one.connectorId), ...(server.connectors ?? [])])]}
              chosen={server.connectors ?? []}
              hint="None chosen: all of the account."
            />
            <AreaField
              label="Instructions for models"
              name="instructions"
              defaultValue={server.customInstructions ?? ''}
              hint="Sent to clients when they connect."
            />
            <SelectField
              label="Calls for a user that does not exist"
              name="unknown"
              value={server.onUnknownUser}
              options={[
                { value: 'reject', text: 'Are refused' },
                { value: 'fallback', text: 'Run in the default context, and say so' },
              ]}
            />
            <TextField
              label="Calls per user and minute (optional)"
              name="max"
              type="number"
              min={1}
              defaultValue={server.rateLimit === null ? '' : String(server.rateLimit.max)}
              hint="Can only lower the account’s limit."
            />
            {isSaved && (
              <p class="note good" role="status">
                Saved. It is in force now.
              </p>
            )}
          </Form>
        )}
      </Loaded>
    </div>
  );
}
