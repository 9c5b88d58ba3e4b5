// What signs users in to connectors: state and label. Values go in here and never come out.
import type { Connector, Credential } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { CopyButton } from '../parts/copy.tsx';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { Form, SelectField, TextField } from '../parts/form.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { Badge, Empty, Loaded, type Tone } from '../parts/page.tsx';
import { Time, usePages } from '../parts/table.tsx';
import { typed } from '../words.ts';

const tones: Readonly<Record<Credential['status'], Tone>> = {
  valid: 'good',
  pending: 'warn',
  expiring: 'warn',
  reauth_required: 'bad',
  unreachable: 'bad',
};
const said: Readonly<Record<Credential['status'], string>> = {
  valid: 'Valid',
  pending: 'Waiting for sign-in',
  expiring: 'Ends soon',
  reauth_required: 'Must sign in again',
  unreachable: 'Provider unreachable',
};

export function CredentialsPage() {
  const credentials = usePages(() => gateway.credentials.list({ limit: 100 }), []);
  return (
    <ListPage
      title="Credentials"
      lead="What signs a user in to a connector. Values are sealed for that user; nobody can read them back, here or anywhere."
      create={<NewCredential reload={credentials.reload} />}
      pages={credentials}
      empty={{
        title: 'No credentials yet',
        text: 'Store a user’s API key here, or let users do it themselves: a call that lacks a credential is answered with a link on which that user connects the account.',
      }}
      heads={['User', 'Connector', 'Label', 'State', 'Secrets', 'Changed', '']}
    >
      {(credential) => (
        <CredentialRow key={credential.credentialId} credential={credential} reload={credentials.reload} />
      )}
    </ListPage>
  );
}

function CredentialRow({ credential, reload }: { credential: Credential; reload: () => void }) {
  const { credentialId, username, connectorId, label, status } = credential;
  return (
    <tr>
      <th scope="row">
        <a href={`/admin/users/${encodeURIComponent(username)}`}>{username}</a>
      </th>
      <td>{connectorId}</td>
      <td>
        {label ?? <span class="muted">–</span>} {credential.isDefault && <Badge tone="quiet">Default</Badge>}{' '}
        {credential.shared && <Badge tone="warn">Shared</Badge>}
      </td>
      <td>
        <Badge tone={tones[status]}>{said[status]}</Badge>
        {credential.lastError && <div class="small muted">{credential.lastError}</div>}
      </td>
      <td class="mono small">{credential.secretNames.join(', ') || '–'}</td>
      <td>
        <Time at={credential.updatedAt} />
      </td>
      <td class="actions">
        <div class="row end">
          {credential.authenticationType === 'oauth2' && <Connect credentialId={credentialId} />}
          <DialogButton label="Label" look="small" title={`Label of ${username}’s ${connectorId}`}>
            {(close) => (
              <Form
                submit="Save label"
                onCancel={close}
                onSubmit={async (data) => {
                  await gateway.credentials.update(credentialId, { label: typed(data, 'label') ?? null });
                  close();
                  reload();
                }}
              >
                <TextField label="Label" name="label" maxLength={100} defaultValue={label ?? ''} />
              </Form>
            )}
          </DialogButton>
          <ConfirmButton
            label="Delete"
            look="small danger"
            title={`Delete ${username}’s credential for ${connectorId}?`}
            text="Its secrets are destroyed and a grant is revoked at its provider. Calls of this user fail until a new one is stored."
            confirm="Delete credential"
            onConfirm={async () => {
              await gateway.credentials.delete(credentialId);
              reload();
            }}
          />
        </div>
      </td>
    </tr>
  );
}

function Connect({ credentialId }: { credentialId: string }) {
  return (
    <DialogButton label="Sign-in link" look="small" title="A link to sign in">
      {() => <FreshLink credentialId={credentialId} />}
    </DialogButton>
  );
}

function FreshLink({ credentialId }: { credentialId: string }) {
  const made = useLoad(() => gateway.credentials.connect(credentialId), [credentialId]);
  return <Loaded of={made}>{(credential) => <OAuthLink url={credential.oauthUrl} />}</Loaded>;
}

const OAuthLink = ({ url }: { url: string | undefined }) => (
  <div class="stack">
    <p>Open it as that user within ten minutes. It can be used once, and only by that user.</p>
    <div class="secret">
      <code>{url}</code>
      <CopyButton text={url ?? ''} />
    </div>
  </div>
);

const readChoices = async () => {
  const [users, connectors] = await Promise.all([
    gateway.users.list({ limit: 200 }),
    gateway.connectors.list({ limit: 200 }),
  ]);
  return { users: users.items, connectors: connectors.items };
};

function NewCredential({ reload }: { reload: () => void }) {
  return (
    <DialogButton label="Connect a user" title="Connect a user to a connector">
      {(close) => <NewCredentialForm close={close} reload={reload} />}
    </DialogButton>
  );
}

function NewCredentialForm({ close, reload }: { close: () => void; reload: () => void }) {
  const choices = useLoad(readChoices, []);
  const [chosen, setChosen] = useState<string>();
  const [link, setLink] = useState<string>();
  if (link !== undefined) return <OAuthLink url={link} />;
  return (
    <Loaded of={choices}>
      {({ users, connectors }) => {
        const connector = connectors.find(({ connectorId }) => connectorId === chosen) ?? connectors[0];
        if (connector === undefined || users.length === 0) {
          return <Empty title="Register a connector and create a user first" />;
        }
        return (
          <Form
            submit={connector.oauth === null ? 'Store credential' : 'Make a sign-in link'}
            onCancel={close}
            onSubmit={async (data) => {
              const made = await store(data, connector);
              reload();
              if (made.oauthUrl === undefined) close();
              else setLink(made.oauthUrl);
            }}
          >
            <SelectField
              label="User"
              name="user"
              options={users.map(({ username }) => ({ value: username, text: username }))}
            />
            <SelectField
              label="Connector"
              name="connector"
              value={connector.connectorId}
              onChoose={setChosen}
              options={connectors.map(({ connectorId, name }) => ({ value: connectorId, text: name }))}
            />
            <TextField label="Label (optional)" name="label" maxLength={100} />
            {connector.oauth === null &&
              secretsOf(connector).map((name) => (
                <TextField
                  key={name}
                  label={name}
                  name={`secret-${name}`}
                  type="password"
                  autocomplete="new-password"
                  required
                />
              ))}
          </Form>
        );
      }}
    </Loaded>
  );
}

const secretsOf = ({ secretNames }: Connector): string[] => (secretNames.length > 0 ? secretNames : ['API_KEY']);

function store(data: FormData, connector: Connector) {
  const common = {
    userId: typed(data, 'user') ?? '',
    connectorId: connector.connectorId,
    label: typed(data, 'label') ?? null,
  };
  if (connector.oauth !== null) return gateway.credentials.create({ ...common, authenticationType: 'oauth2' });
  const fields = Object.fromEntries(secretsOf(connector).map((name) => [name, typed(data, `secret-${name}`) ?? '']));
  return gateway.credentials.create({ ...common, authenticationType: 'secrets', fields });
}
