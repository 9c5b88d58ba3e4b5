// One user: state, keys, access, history, and the end of all access.
import { useLocation, useRoute } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { ConfirmButton } from '../parts/dialog.tsx';
import { Badge, Loaded, Page } from '../parts/page.tsx';
import { Tabs } from '../parts/tabs.tsx';
import { exactTime } from '../words.ts';
import { UserAccess } from './user-access.tsx';
import { UserHistory } from './user-history.tsx';
import { UserKeys } from './user-keys.tsx';
import { readUser, type UserView } from './user-view.ts';

export function UserPage() {
  const name = decodeURIComponent(useRoute().params['id'] ?? '');
  const user = useLoad(() => readUser(name), [name]);
  return (
    <Page
      title={name}
      crumb={{ href: '/admin/users', text: 'Users' }}
      actions={user.data && <Actions user={user.data} reload={user.reload} />}
    >
      <Loaded of={user}>
        {(found) => (
          <>
            <dl class="facts card">
              <dt>State</dt>
              <dd>{found.enabled ? <Badge tone="good">Enabled</Badge> : <Badge tone="bad">Disabled</Badge>}</dd>
              <dt>User id</dt>
              <dd class="mono">{found.userId}</dd>
              <dt>E-mail</dt>
              <dd>{found.email ?? '–'}</dd>
              <dt>Description</dt>
              <dd>{found.description ?? '–'}</dd>
              <dt>Created</dt>
              <dd>{exactTime(found.createdAt)}</dd>
            </dl>
            <Tabs
              label="About this user"
              tabs={[
                { name: 'Keys', show: () => <UserKeys user={found} reload={user.reload} /> },
                { name: 'Access', show: () => <UserAccess username={found.username} /> },
                { name: 'History', show: () => <UserHistory username={found.username} /> },
              ]}
            />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Actions({ user, reload }: { user: UserView; reload: () => void }) {
  const { route } = useLocation();
  const { username } = user;
  const setEnabled = async (enabled: boolean) => {
    await gateway.users.setEnabled(username, { enabled });
    reload();
  };
  return (
    <>
      <ConfirmButton
        label={user.enabled ? 'Disable' : 'Enable'}
        title={`${user.enabled ? 'Disable' : 'Enable'} ${username}?`}
        text={
          user.enabled
            ? 'Keys and calls of this user are refused at once. Nothing is deleted; you can enable the user again.'
            : 'Keys and credentials of this user work again.'
        }
        confirm={user.enabled ? 'Disable user' : 'Enable user'}
        look=""
        onConfirm={() => setEnabled(!user.enabled)}
      />
      <ConfirmButton
        label="Off-board"
        title={`Off-board ${username}?`}
        text="Ends all access within seconds: keys, tokens, sessions, open streams. Credentials are deleted, their grants are revoked at the providers, and the key that sealed them is destroyed. This cannot be undone. The history stays."
        confirm="Off-board user"
        typed={username}
        onConfirm={async () => {
          await gateway.users.offboard(username);
          reload();
        }}
      />
      <ConfirmButton
        label="Delete"
        title={`Delete ${username}?`}
        text="Deletes the user with its keys and credentials. The trail of what it did stays."
        confirm="Delete user"
        typed={username}
        onConfirm={async () => {
          await gateway.users.delete(username);
          route('/admin/users');
        }}
      />
    </>
  );
}
