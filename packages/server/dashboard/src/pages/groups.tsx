// Groups of the account and how a new one is made: users who share rights, limits and credentials.
import { useLocation } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { reach } from '../parts/access-form.tsx';
import { DialogButton } from '../parts/dialog.tsx';
import { Form, TextField } from '../parts/form.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { Time, usePages } from '../parts/table.tsx';
import { count, typed } from '../words.ts';

export function GroupsPage() {
  const groups = usePages(() => gateway.groups.list({ limit: 100 }), []);
  return (
    <ListPage
      title="Groups"
      lead="Users who share rights, limits and credentials. A user may be in several; what any of them blocks is blocked."
      create={<NewGroup />}
      pages={groups}
      empty={{
        title: 'No groups yet',
        text: 'Put the users of one team or one plan together, and say once which connectors and actions they may reach.',
      }}
      heads={['Group', 'Members', 'May reach', 'Created']}
    >
      {({ groupId, name, description, members, access, createdAt }) => (
        <tr key={groupId}>
          <th scope="row">
            <a href={`/admin/groups/${groupId}`}>{name}</a>
            {description && <div class="muted small">{description}</div>}
          </th>
          <td>{count(members)}</td>
          <td>
            {reach(access.allowed, access.blocked)}
            {access.permissions.length > 0 && <div class="muted small">with rules for single actions</div>}
          </td>
          <td>
            <Time at={createdAt} />
          </td>
        </tr>
      )}
    </ListPage>
  );
}

function NewGroup() {
  const { route } = useLocation();
  return (
    <DialogButton label="Create group" title="Create a group">
      {(close) => (
        <Form
          submit="Create group"
          onCancel={close}
          onSubmit={async (data) => {
            const made = await gateway.groups.create({
              name: typed(data, 'name') ?? '',
              description: typed(data, 'description') ?? null,
            });
            close();
            route(`/admin/groups/${made.groupId}`);
          }}
        >
          <TextField
            label="Name"
            name="name"
            required
            maxLength={100}
            hint="Until you give it rules, it changes nobody’s rights."
          />
          <TextField label="Description (optional)" name="description" />
        </Form>
      )}
    </DialogButton>
  );
}
