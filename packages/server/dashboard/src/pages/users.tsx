// All users of the account, and how a new one is made.
import type { User } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { reach } from '../parts/access-form.tsx';
import { DialogButton } from '../parts/dialog.tsx';
import { Form, TextField } from '../parts/form.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { Badge } from '../parts/page.tsx';
import { Time, usePages } from '../parts/table.tsx';
import { typed } from '../words.ts';

export function UsersPage() {
  const users = usePages(() => gateway.users.list({ limit: 200 }), []);
  const [wanted, setWanted] = useState('');
  return (
    <ListPage
      title="Users"
      lead="Each call runs as one of these users, with that user’s rights, limits and credentials."
      create={<NewUser />}
      pages={users}
      empty={{
        title: 'No users yet',
        text: (
          <>
            A user is one person or one customer of yours. Create one, give it a key or name it in the header{' '}
            <code>x-alloy-userid</code>, and every call is made with that user’s own credentials.
          </>
        ),
      }}
      heads={['User', 'State', 'May reach', 'Created']}
      tools={
        <input
          class="search"
          type="search"
          aria-label="Find a user"
          placeholder="Find by name or address"
          value={wanted}
          onInput={(event) => setWanted(event.currentTarget.value)}
        />
      }
      fits={({ username, email }) => `${username} ${email ?? ''}`.includes(wanted)}
    >
      {(user) => <UserRow key={user.userId} user={user} />}
    </ListPage>
  );
}

function UserRow({ user }: { user: User }) {
  return (
    <tr>
      <th scope="row">
        <a href={`/admin/users/${encodeURIComponent(user.username)}`}>{user.username}</a>
        {user.email && <div class="muted small">{user.email}</div>}
      </th>
      <td>{user.enabled ? <Badge tone="good">Enabled</Badge> : <Badge tone="bad">Disabled</Badge>}</td>
      <td>{reach(user.mcpAllowed, user.mcpBlocked)}</td>
      <td>
        <Time at={user.createdAt} />
      </td>
    </tr>
  );
}

export function NewUser() {
  const { route } = useLocation();
  return (
    <DialogButton label="Create user" title="Create a user">
      {(close) => (
        <Form
          submit="Create user"
          onCancel={close}
          onSubmit={async (data) => {
            const made = await gateway.users.create({
              username: typed(data, 'username') ?? '',
              email: typed(data, 'email') ?? null,
              description: typed(data, 'description') ?? null,
            });
            close();
            route(`/admin/users/${encodeURIComponent(made.username)}`);
          }}
        >
          <TextField
            label="Username"
            name="username"
            required
            hint="The name your application calls this user by. It cannot be changed later."
          />
          <TextField label="E-mail (optional)" name="email" type="email" />
          <TextField label="Description (optional)" name="description" />
        </Form>
      )}
    </DialogButton>
  );
}
