// One connector: its health, what it offers, and a call to try as one of the users.
import type { Connector } from '@mcp-valet/client';
import { useLocation, useRoute } from 'preact-iso';
import { gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { ConfirmButton, DialogButton } from '../parts/dialog.tsx';
import { DocumentFields, documentOf } from '../parts/document-fields.tsx';
import { Form } from '../parts/form.tsx';
import { Empty, Loaded, Page } from '../parts/page.tsx';
import { Table } from '../parts/table.tsx';
import { Tabs } from '../parts/tabs.tsx';
import { exactTime, typed } from '../words.ts';
import { Health, kinds, needs } from './connectors.tsx';
import { TryCall } from './try-call.tsx';

export function ConnectorPage() {
  const id = decodeURIComponent(useRoute().params['id'] ?? '');
  const connector = useLoad(() => gateway.connectors.get(id), [id]);
  const { route } = useLocation();
  const found = connector.data;
  return (
    <Page
      title={found?.name ?? id}
      lead={found?.description}
      crumb={{ href: '/admin/connectors', text: 'Connectors' }}
      actions={
        found && (
          <>
            <ConfirmButton
              label={found.enabled ? 'Switch off' : 'Switch on'}
              look=""
              title={`${found.enabled ? 'Switch off' : 'Switch on'} ${found.name}?`}
              text={found.enabled ? 'Calls to it are refused until it is switched on.' : 'Calls reach it again.'}
              confirm={found.enabled ? 'Switch off' : 'Switch on'}
              onConfirm={async () => {
                await gateway.connectors.update(id, { enabled: !found.enabled });
                connector.reload();
              }}
            />
            <ConfirmButton
              label="Delete"
              title={`Delete ${found.name}?`}
              text="Deletes it with every user’s credentials and secrets for it. This cannot be undone."
              confirm="Delete connector"
              typed={id}
              onConfirm={async () => {
                await gateway.connectors.delete(id);
                route('/admin/connectors');
              }}
            />
          </>
        )
      }
    >
      <Loaded of={connector}>
        {(one) => (
          <>
            <Facts connector={one} reload={connector.reload} />
            <Tabs
              label="About this connector"
              tabs={[
                { name: 'Try a call', show: () => <TryCall connectorId={id} /> },
                { name: 'Actions', show: () => <Actions connectorId={id} /> },
              ]}
            />
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Facts({ connector, reload }: { connector: Connector; reload: () => void }) {
  const { openapi, inject } = connector;
  return (
    <dl class="facts card">
      <dt>Health</dt>
      <dd class="row">
        <Health connector={connector} />
        <ConfirmButton
          label="Check now"
          look="small"
          title="Read its lists again?"
          text="Asks the upstream without a user’s credential."
          confirm="Check now"
          onConfirm={async () => {
            await gateway.connectors.refresh(connector.connectorId);
            reload();
          }}
        />
        {connector.lastError && <span class="small">{connector.lastError}</span>}
      </dd>
      <dt>Kind</dt>
      <dd>{kinds[connector.kind]}</dd>
      <dt>Where</dt>
      <dd class="mono">{connector.url ?? connector.baseUrl ?? connector.entry ?? '–'}</dd>
      {openapi && (
        <>
          <dt>Document</dt>
          <dd>
            {openapi.title} {openapi.version}, {openapi.operations} operations
            {openapi.warnings.length > 0 && (
              <details>
                <summary>{openapi.warnings.length} places that cannot be called</summary>
                <ul>
                  {openapi.warnings.map(({ path, message }) => (
                    <li key={path} class="small">
                      <code>{path}</code> {message}
                    </li>
                  ))}
                </ul>
              </details>
            )}
            <p>
              <Reimport connectorId={connector.connectorId} reload={reload} />
            </p>
          </dd>
        </>
      )}
      <dt>Users need</dt>
      <dd>{needs(connector)}</dd>
      {inject && (
        <>
          <dt>Sent with calls</dt>
          <dd>
            <pre class="code">{JSON.stringify(inject, null, 2)}</pre>
          </dd>
        </>
      )}
      <dt>Changed</dt>
      <dd>{exactTime(connector.updatedAt)}</dd>
    </dl>
  );
}

/** The API has moved on: its new document takes the old one's place, with everything else of the connector as it is. */
function Reimport({ connectorId, reload }: { connectorId: string; reload: () => void }) {
  return (
    <DialogButton label="Import again" look="small" title="Import a newer document">
      {(close) => (
        <Form
          submit="Import"
          onCancel={close}
          onSubmit={async (data) => {
            const baseUrl = typed(data, 'baseUrl');
            await gateway.connectors.update(connectorId, {
              openapi: await documentOf(data),
              ...(baseUrl !== undefined && { baseUrl }),
            });
            close();
            reload();
          }}
        >
          <p>Its operations replace the old ones at once. Credentials, rules and limits stay as they are.</p>
          <DocumentFields />
        </Form>
      )}
    </DialogButton>
  );
}

function Actions({ connectorId }: { connectorId: string }) {
  const listed = useLoad(() => gateway.connectors.actions(connectorId), [connectorId]);
  return (
    <div class="card flush">
      <Loaded of={listed}>
        {({ actions }) =>
          actions.length === 0 ? (
            <Empty title="It lists no actions">
              <p>Some upstreams list their tools only to users who are signed in.</p>
            </Empty>
          ) : (
            <Table caption="Actions" heads={['Action', 'What it does', 'Changes things']}>
              {actions.map((action) => (
                <tr key={action.id}>
                  <th scope="row" class="mono small">
                    {action.id}
                  </th>
                  <td>{action.description}</td>
                  <td>{action.readOnly ? 'No' : 'Perhaps'}</td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </div>
  );
}
