// What a user may reach, and which groups have a say in it too.
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { AccessForm } from '../parts/access-form.tsx';
import { Loaded } from '../parts/page.tsx';

const read = async (username: string) => {
  const [access, groups] = await Promise.all([
    gateway.users.getAccess(username),
    gateway.groups.list({ userId: username, limit: 200 }),
  ]);
  return { access, groups: groups.items };
};

export function UserAccess({ username }: { username: string }) {
  const loaded = useLoad(() => read(username), [username]);
  return (
    <Loaded of={loaded}>
      {({ access: { allowed, blocked, permissions }, groups }) => (
        <>
          <AccessForm
            access={{ allowed, blocked, permissions }}
            lead="A call must be allowed here, by the server, by the user’s groups and by the key. Blocked always wins."
            onSave={(access) => gateway.users.replaceAccess(username, access)}
            reload={loaded.reload}
          />
          {groups.length > 0 && (
            <p class="muted small">
              Groups also decide for this user:{' '}
              {groups.map(({ groupId, name }, at) => (
                <span key={groupId}>
                  {at > 0 && ', '}
                  <a href={`/admin/groups/${groupId}`}>{name}</a>
                </span>
              ))}
            </p>
          )}
        </>
      )}
    </Loaded>
  );
}
