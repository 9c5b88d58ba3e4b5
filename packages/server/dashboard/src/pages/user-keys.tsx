// A user's keys: made here, shown once, revoked here.
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { SecretOnce } from '../parts/copy.tsx';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { Form, SelectField, TextField } from '../parts/form.tsx';
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

function NewKey({ username, close }: { username: string; close: () => void }) {
  const [text, setText] = useState<string>();
  const { kind } = useSession();
  if (text !== undefined) {
    return (
      <div class="stack">
        <SecretOnce label="API key" value={text} />
        <div class="row end">
          <button type="button" class="button primary" onClick={close}>
            I have copied it
          </button>
        </div>
      </div>
    );
  }
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
