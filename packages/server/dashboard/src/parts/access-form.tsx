// What a user, or every member of a group, may reach: connectors by list, and single actions by rule.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { Choices, Form } from './form.tsx';
import { Loaded } from './page.tsx';
import { type Permission, PermissionsField, readPermissions } from './permissions.tsx';

export interface Access {
  allowed: string[];
  blocked: string[];
  permissions: Permission[];
}

export function AccessForm(props: {
  access: Access;
  lead: ComponentChildren;
  /** Replaces the whole. */
  onSave: (access: Access) => Promise<unknown>;
  reload: () => void;
}) {
  const { access, lead, onSave, reload } = props;
  const connectors = useLoad(() => gateway.connectors.list({ limit: 200 }), []);
  const [isSaved, setSaved] = useState(false);
  return (
    <div class="card">
      <h2>Access</h2>
      <p class="muted">{lead}</p>
      <Loaded of={connectors}>
        {({ items }) => {
          const ids = items.map(({ connectorId }) => connectorId);
          const names = [...new Set([...ids, ...access.allowed, ...access.blocked])];
          return (
            <Form
              key={JSON.stringify(access)}
              submit="Save access"
              onSubmit={async (data) => {
                setSaved(false);
                await onSave({
                  allowed: data.getAll('allowed').map(String),
                  blocked: data.getAll('blocked').map(String),
                  permissions: readPermissions(data),
                });
                setSaved(true);
                reload();
              }}
            >
              <Choices
                legend="Only these connectors"
                name="allowed"
                options={names}
                chosen={access.allowed}
                hint="None chosen: every connector of the account."
              />
              <Choices legend="Never these connectors" name="blocked" options={names} chosen={access.blocked} />
              <PermissionsField permissions={access.permissions} />
              {isSaved && (
                <p class="note good" role="status">
                  Saved. It is in force now.
                </p>
              )}
            </Form>
          );
        }}
      </Loaded>
    </div>
  );
}

/** What the lists come to, in a table's cell. */
export function reach(allowed: readonly string[], blocked: readonly string[]): string {
  const only = allowed.length > 0 ? allowed.join(', ') : 'All connectors';
  return blocked.length > 0 ? `${only}, but not ${blocked.join(', ')}` : only;
}
