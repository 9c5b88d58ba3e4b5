// One group: who is in it, what its members may reach, and its end.
import { useLocation, useRoute } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { AccessForm } from '../parts/access-form.tsx';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { Form, TextField } from '../parts/form.tsx';
import { Empty, Loaded, Page } from '../parts/page.tsx';
import { More, Table, Time, usePages } from '../parts/table.tsx';
import { Tabs } from '../parts/tabs.tsx';
import { typed } from '../words.ts';

const readGroup = (id: string) => gateway.groups.get(id);
type Group = Awaited<ReturnType<typeof readGroup>>;

export function GroupPage() {
  const id = useRoute().params['id'] ?? '';
  const group = useLoad(() => readGroup(id), [id]);
  return (
    <Page
      title={group.data?.name ?? 'Group'}
      crumb={{ href: '/admin/groups', text: 'Groups' }}
      lead={group.data?.description}
      actions={group.data && <Actions group={group.data} reload={group.reload} />}
    >
      <Loaded of={group}>
        {(found) => (
          <Tabs
            label="About this group"
            tabs={[
              { name: 'Members', show: () => <Members group={found} /> },
              {
                name: 'Access',
                show: () => (
                  <AccessForm
                    access={found.access}
                    lead="For every member. Groups of one user add up, and what any of them blocks is blocked. The server, the user’s own rules and the key must agree too."
                    onSave={(access) => gateway.groups.update(id, { access })}
                    reload={group.reload}
                  />
                ),
              },
            ]}
          />
        )}
      </Loaded>
    </Page>
  );
}

function Actions({ group, reload }: { group: Group; reload: () => void }) {
  const { route } = useLocation();
  const { groupId, name, description } = group;
  return (
    <>
      <DialogButton label="Rename" look="" title={`Rename ${name}`}>
        {(close) => (
          <Form
            submit="Save"
            onCancel={close}
            onSubmit={async (data) => {
              await gateway.groups.update(groupId, {
                name: typed(data, 'name') ?? name,
                description: typed(data, 'description') ?? null,
              });
              close();
              reload();
            }}
          >
            <TextField label="Name" name="name" required maxLength={100} defaultValue={name} />
            <TextField label="Description" name="description" defaultValue={description ?? ''} />
          </Form>
        )}
      </DialogButton>
      <ConfirmButton
        label="Delete"
        title={`Delete ${name}?`}
        text="Its members stay users; its rules no longer bind them, its limits end, and what was shared with it is shared no longer."
        confirm="Delete group"
        typed={name}
        onConfirm={async () => {
          await gateway.groups.delete(groupId);
          route('/admin/groups');
        }}
      />
    </>
  );
}

function Members({ group: { groupId, name } }: { group: Group }) {
  const members = usePages(() => gateway.groups.members(groupId, { limit: 100 }), [groupId]);
  return (
    <div class="card flush">
      <header class="row between">
        <h2>Members</h2>
        <DialogButton label="Add user" title={`Add a user to ${name}`}>
          {(close) => (
            <Form
              submit="Add user"
              onCancel={close}
              onSubmit={async (data) => {
                await gateway.groups.addMember(groupId, typed(data, 'user') ?? '');
                close();
                members.reload();
              }}
            >
              <TextField label="Username" name="user" required hint="The user gets the rights of the group at once." />
            </Form>
          )}
        </DialogButton>
      </header>
      <Loaded of={members}>
        {(paged) =>
          paged.items.length === 0 ? (
            <Empty title="No members yet">
              <p>Rules, limits and shared credentials of this group are for its members.</p>
            </Empty>
          ) : (
            <>
              <Table caption="Members" heads={['User', 'Added', '']}>
                {paged.items.map(({ userId, username, addedAt }) => (
                  <tr key={userId}>
                    <th scope="row">
                      <a href={`/admin/users/${encodeURIComponent(username)}`}>{username}</a>
                    </th>
                    <td>
                      <Time at={addedAt} />
                    </td>
                    <td class="actions">
                      <ConfirmButton
                        label="Remove"
                        look="small danger"
                        title={`Remove ${username} from ${name}?`}
                        text="The user stays; the group’s rules and shared credentials are no longer for it, from now on."
                        confirm="Remove user"
                        onConfirm={async () => {
                          await gateway.groups.removeMember(groupId, userId);
                          members.reload();
                        }}
                      />
                    </td>
                  </tr>
                ))}
              </Table>
              <More paged={paged} add={members.add} />
            </>
          )
        }
      </Loaded>
    </div>
  );
}
