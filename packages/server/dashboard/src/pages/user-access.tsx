// What a user may reach: connectors by list, and single actions by rule.
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { Choices, Form } from '../parts/form.tsx';
import { Loaded } from '../parts/page.tsx';
import { PermissionsField, readPermissions } from '../parts/permissions.tsx';

const read = async (username: string) => {
  const [access, connectors] = await Promise.all([
    gateway.users.getAccess(username),
    gateway.connectors.list({ limit: 200 }).then((page) => page.items.map(({ connectorId }) => connectorId)),
  ]);
  return { access, names: [...new Set([...connectors, ...access.allowed, ...access.blocked])] };
};

export function UserAccess({ username }: { username: string }) {
  const loaded = useLoad(() => read(username), [username]);
  const [isSaved, setSaved] = useState(false);
  return (
    <div class="card">
      <h2>Access</h2>
      <p class="muted">
        A call must be allowed here, by the server, by the user’s groups and by the key. Blocked always wins.
      </p>
      <Loaded of={loaded}>
        {({ access, names }) => (
          <Form
            key={JSON.stringify(access)}
            submit="Save access"
            onSubmit={async (data) => {
              setSaved(false);
              await gateway.users.replaceAccess(username, {
                allowed: data.getAll('allowed').map(String),
                blocked: data.getAll('blocked').map(String),
                permissions: readPermissions(data),
              });
              setSaved(true);
              loaded.reload();
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
        )}
      </Loaded>
      {loaded.data && loaded.data.access.groupIds.length > 0 && (
        <p class="muted small">Groups also decide for this user: {loaded.data.access.groupIds.join(', ')}</p>
      )}
    </div>
  );
}
