// The rules of a server, and beside them what they come to: asked of the gateway itself each time they are saved.
import type { Server } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { AreaField, Form, SelectField } from '../parts/form.tsx';
import { PermissionsField, readPermissions } from '../parts/permissions.tsx';
import { words } from '../words.ts';
import { ServerPreview } from './server-preview.tsx';

type Restrictions = NonNullable<Server['restrictions']>;
type Mode = 'allowlist' | 'blocklist';

const modeOptions = [
  { value: '', text: 'No rule' },
  { value: 'allowlist', text: 'Only these' },
  { value: 'blocklist', text: 'All but these' },
];

const modeOf = (data: FormData, name: string): Mode | undefined => {
  const mode = data.get(`${name}-mode`);
  return mode === 'allowlist' || mode === 'blocklist' ? mode : undefined;
};

/** Ids of one rule, in the list that its mode reads. */
const idsOf = (data: FormData, name: string) => {
  const mode = modeOf(data, name);
  if (mode === undefined) return undefined;
  const ids = words(data.get(name));
  return mode === 'allowlist' ? { mode, allowedIds: ids } : { mode, blockedIds: ids };
};

function readRestrictions(data: FormData): Restrictions | null {
  const connectors = idsOf(data, 'connectors');
  const users = idsOf(data, 'users');
  const mode = modeOf(data, 'actions');
  const ids = words(data.get('actions'));
  const actions =
    mode === undefined
      ? undefined
      : mode === 'allowlist'
        ? { mode, allowedActions: ids }
        : { mode, blockedActions: ids };
  const permissions = readPermissions(data);
  const all = {
    ...(connectors && { connectors }),
    ...(users && { users }),
    ...(actions && { actions }),
    ...(permissions.length > 0 && { permissions }),
  };
  return Object.keys(all).length === 0 ? null : all;
}

export function ServerRestrictions({ server, reload }: { server: Server; reload: () => void }) {
  const rules = server.restrictions;
  const [isChanged, setChanged] = useState(false);
  return (
    <div class="grid">
      <div class="card">
        <h2>Restrictions</h2>
        <div onInput={() => setChanged(true)}>
          <Form
            key={JSON.stringify(rules)}
            submit="Save and check"
            onSubmit={async (data) => {
              await gateway.servers.update(server.serverId, { restrictions: readRestrictions(data) });
              setChanged(false);
              reload();
            }}
          >
            <Rule
              name="connectors"
              label="Connectors"
              mode={rules?.connectors?.mode}
              ids={[...(rules?.connectors?.allowedIds ?? []), ...(rules?.connectors?.blockedIds ?? [])]}
            />
            <Rule
              name="actions"
              label="Actions"
              hint="An action’s name, or connector.action."
              mode={rules?.actions?.mode}
              ids={[...(rules?.actions?.allowedActions ?? []), ...(rules?.actions?.blockedActions ?? [])]}
            />
            <Rule
              name="users"
              label="Users"
              mode={rules?.users?.mode}
              ids={[...(rules?.users?.allowedIds ?? []), ...(rules?.users?.blockedIds ?? [])]}
            />
            <PermissionsField permissions={rules?.permissions ?? []} />
          </Form>
        </div>
      </div>
      <ServerPreview server={server} isChanged={isChanged} />
    </div>
  );
}

function Rule(props: { name: string; label: string; hint?: string; mode: Mode | undefined; ids: readonly string[] }) {
  const { name, label, hint, mode: saved, ids } = props;
  const [mode, setMode] = useState<string>(saved ?? '');
  return (
    <div class="stack">
      <SelectField label={label} name={`${name}-mode`} value={mode} options={modeOptions} onChoose={setMode} />
      {mode !== '' && (
        <AreaField
          label={`${label}, one per line`}
          name={name}
          class="mono"
          defaultValue={ids.join('\n')}
          hint={hint ?? (mode === 'allowlist' ? 'An empty list allows nothing.' : undefined)}
        />
      )}
    </div>
  );
}
