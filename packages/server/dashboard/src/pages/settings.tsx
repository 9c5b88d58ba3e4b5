// Settings of the account: where sign-ins may return to, who is told of changes, limits, and about this session.
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { SecretOnce } from '../parts/copy.tsx';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { AreaField, Form, SelectField, TextField } from '../parts/form.tsx';
import { Empty, Loaded, Page } from '../parts/page.tsx';
import { useSession } from '../parts/shell.tsx';
import { More, Table, usePages } from '../parts/table.tsx';
import { count, exactTime, typed, words } from '../words.ts';

export function SettingsPage() {
  return (
    <Page title="Settings">
      <AccountCard />
      <Limits />
      <SignInSettings />
    </Page>
  );
}

function AccountCard() {
  const me = useLoad(() => gateway.me(), []);
  const session = useSession();
  return (
    <div class="card">
      <h2>Account and session</h2>
      <Loaded of={me}>
        {(found) => (
          <dl class="facts">
            <dt>Account</dt>
            <dd>
              {found.account.name} <span class="mono muted small">{found.account.accountId}</span>
            </dd>
            <dt>Signed in with</dt>
            <dd class="mono">{found.keyId}</dd>
            <dt>Rights of the key</dt>
            <dd>{found.scopes === null ? 'All of its kind' : found.scopes.join(', ')}</dd>
            <dt>The session ends</dt>
            <dd>{exactTime(session.expiresAt)}</dd>
          </dl>
        )}
      </Loaded>
    </div>
  );
}

function SignInSettings() {
  const settings = useLoad(() => gateway.settings.get(), []);
  const [secret, setSecret] = useState<string>();
  const [isSaved, setSaved] = useState(false);
  return (
    <div class="card">
      <h2>Sign-ins of users</h2>
      {secret !== undefined && <SecretOnce label="Key of the webhook’s signatures" value={secret} />}
      <Loaded of={settings}>
        {(found) => (
          <Form
            key={found.updatedAt}
            submit="Save settings"
            onSubmit={async (data) => {
              const webhookUrl = typed(data, 'webhook') ?? null;
              const saved = await gateway.settings.update({
                redirectUris: words(data.get('redirects')),
                // Setting it anew makes a new key for signatures.
                ...(webhookUrl !== found.webhookUrl && { webhookUrl }),
              });
              setSecret(saved.webhookSecret);
              setSaved(true);
              settings.reload();
            }}
          >
            <AreaField
              label="Where the browser may return to after a sign-in"
              name="redirects"
              class="mono"
              defaultValue={found.redirectUris.join('\n')}
              hint="Exact addresses, one per line: https, or http on loopback."
            />
            <TextField
              label="Webhook (optional)"
              name="webhook"
              type="url"
              defaultValue={found.webhookUrl ?? ''}
              hint="Told when the state of a credential changes, signed as Standard Webhooks describes."
            />
            {isSaved && (
              <p class="note good" role="status">
                Saved.
              </p>
            )}
          </Form>
        )}
      </Loaded>
    </div>
  );
}

const windowText = (window: number | 'day'): string => (window === 'day' ? 'a day' : `${window} s`);

function Limits() {
  const limits = usePages(() => gateway.limits.list({ limit: 100 }), []);
  return (
    <>
      <div class="card flush">
        <header class="row between">
          <h2>Limits and quotas</h2>
          <NewLimit reload={limits.reload} />
        </header>
        <Loaded of={limits}>
          {(paged) =>
            paged.items.length === 0 ? (
              <Empty title="No limits of your own">
                <p>
                  The gateway’s own limit per user holds. A rule here can only lower it: for one user, server, connector
                  or action, per minute or per day.
                </p>
              </Empty>
            ) : (
              <Table caption="Limits and quotas" heads={['Calls', 'In', 'Counts', 'About', '']}>
                {paged.items.map((rule) => {
                  const { userId, groupId, serverId, connectorId, action } = rule;
                  const about = [userId, groupId, serverId, connectorId, action].filter(Boolean).join(' · ');
                  return (
                    <tr key={rule.limitId}>
                      <th scope="row">{count(rule.max)}</th>
                      <td>{windowText(rule.window)}</td>
                      <td>{rule.shared ? 'All users together' : 'Each user'}</td>
                      <td class="small">{about || 'Every call'}</td>
                      <td class="actions">
                        <ConfirmButton
                          label="Delete"
                          look="small danger"
                          title="Delete this limit?"
                          text="Calls are no longer counted against it."
                          confirm="Delete limit"
                          onConfirm={async () => {
                            await gateway.limits.delete(rule.limitId);
                            limits.reload();
                          }}
                        />
                      </td>
                    </tr>
                  );
                })}
              </Table>
            )
          }
        </Loaded>
      </div>
      {limits.data && <More paged={limits.data} add={limits.add} />}
    </>
  );
}

function NewLimit({ reload }: { reload: () => void }) {
  return (
    <DialogButton label="Add limit" look="" title="Add a limit or quota">
      {(close) => (
        <Form
          submit="Add limit"
          onCancel={close}
          onSubmit={async (data) => {
            const window = data.get('window') === 'day' ? ('day' as const) : Number(data.get('window'));
            const [userId, connectorId] = [typed(data, 'user'), typed(data, 'connector')];
            await gateway.limits.create({
              max: Number(data.get('max')),
              window,
              shared: data.get('shared') === 'yes',
              ...(userId !== undefined && { userId }),
              ...(connectorId !== undefined && { connectorId }),
            });
            close();
            reload();
          }}
        >
          <TextField label="Calls" name="max" type="number" min={0} required />
          <SelectField
            label="In"
            name="window"
            options={[
              { value: '60', text: 'A minute' },
              { value: '3600', text: 'An hour' },
              { value: 'day', text: 'A day, from midnight UTC' },
            ]}
          />
          <SelectField
            label="Counts"
            name="shared"
            options={[
              { value: 'no', text: 'Each user by itself' },
              { value: 'yes', text: 'All users together' },
            ]}
          />
          <TextField label="Only this user (optional)" name="user" />
          <TextField label="Only this connector (optional)" name="connector" />
        </Form>
      )}
    </DialogButton>
  );
}
