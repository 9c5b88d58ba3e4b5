// A user's keys: made here, shown once, revoked here.
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { ShownOnce } from '../parts/copy.tsx';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { Form, overlaps, SelectField, TextField } from '../parts/form.tsx';
import { Badge, Empty } from '../parts/page.tsx';
import { useSession } from '../parts/shell.tsx';
import { Table, Time } from '../parts/table.tsx';
import { typed } from '../words.ts';
import type { UserView } from './user-view.ts';

export function UserKeys({ user, reload }: { user: UserView; reload: () => void }) {
  const keys = user.apiKeys;
  return (
    <div class="card flush">
      <header class="row between">
        <h2>API keys</h2>
        <DialogButton label="Create key" title={`Create a key for ${user.username}`} onClose={reload}>
          {(close) => <NewKey username={user.username} close={close} />}
        </DialogButton>
      </header>
      {keys.length === 0 ? (
        <Empty title="No keys yet">
          <p>With a key of its own, this user can be called without your application’s key. Keys are shown once.</p>
        </Empty>
      ) : (
        <Table caption="API keys" heads={['Name', 'Begins with', 'State', 'Created', 'Last used', '']}>
          {keys.map((key) => (
            <tr key={key.keyId}>
              <th scope="row">{key.keyName}</th>
              <td class="mono">{key.prefix}…</td>
              <td>
                <KeyState isRevoked={key.revoked} expiresAt={key.expiresAt} />
              </td>
              <td>
                <Time at={key.createdAt} />
              </td>
              <td>
                <Time at={key.lastUsedAt} />
              </td>
              <td class="actions">
                {!key.revoked && (
                  <div class="row end">
                    <DialogButton label="Rotate" look="small" title={`Rotate ${key.keyName}`} onClose={reload}>
                      {(close) => <RotatedKey keyId={key.keyId} close={close} />}
                    </DialogButton>
                    <ConfirmButton
                      label="Revoke"
                      look="small danger"
                      title={`Revoke ${key.keyName}?`}
                      text="Whoever uses this key is refused at once, and the tokens it minted end with it."
                      confirm="Revoke key"
                      onConfirm={async () => {
                        await gateway.keys.delete(key.keyId);
                        reload();
                      }}
                    />
                  </div>
                )}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </div>
  );
}

function KeyState({ isRevoked, expiresAt }: { isRevoked: boolean; expiresAt: string | null }) {
  if (isRevoked) return <Badge tone="bad">Revoked</Badge>;
  if (expiresAt === null) return <Badge tone="good">Active</Badge>;
  if (Date.parse(expiresAt) <= Date.now()) return <Badge tone="bad">Expired</Badge>;
  return (
    <Badge tone="warn">
      Ends <Time at={expiresAt} />
    </Badge>
  );
}

/** A new key with the same rights, while the old one still works for as long as it takes to put the new one everywhere. */
function RotatedKey({ keyId, close }: { keyId: string; close: () => void }) {
  const [made, setMade] = useState<Awaited<ReturnType<typeof gateway.keys.rotate>>>();
  if (made !== undefined) {
    return (
      <ShownOnce label="New API key" value={made.apiKey} onDone={close}>
        <p class="muted">
          The old key ends <Time at={made.oldKeyEndsAt} />.
        </p>
      </ShownOnce>
    );
  }
  return (
    <Form
      submit="Rotate key"
      onCancel={close}
      onSubmit={async (data) => {
        setMade(await gateway.keys.rotate(keyId, { overlapSeconds: Number(typed(data, 'overlap') ?? 0) }));
      }}
    >
      <p>Makes a key with the same rights and length of life.</p>
      <SelectField label="The old key works for" name="overlap" options={overlaps} />
    </Form>
  );
}

function NewKey({ username, close }: { username: string; close: () => void }) {
  const [text, setText] = useState<string>();
  const { kind } = useSession();
  if (text !== undefined) return <ShownOnce label="API key" value={text} onDone={close} />;
  return (
    <Form
      submit="Create key"
      onCancel={close}
      onSubmit={async (data) => {
        const days = typed(data, 'days');
        const made = await gateway.keys.create(username, {
          keyName: typed(data, 'name') ?? '',
          ttlDays: days === undefined ? null : Number(days),
          kind: data.get('kind') === 'enterprise' ? 'enterprise' : 'standard',
        });
        setText(made.apiKey ?? '');
      }}
    >
      <TextField label="Name" name="name" required hint="Where it will be used, such as “laptop” or “CI”." />
      <TextField label="Ends after days (optional)" name="days" type="number" min={1} max={3650} />
      <SelectField
        label="Kind"
        name="kind"
        options={[
          { value: 'standard', text: 'Standard: calls as this user only' },
          ...(kind === 'adm'
            ? [{ value: 'enterprise', text: 'Enterprise: manages the account and calls as any user' }]
            : []),
        ]}
      />
    </Form>
  );
}
