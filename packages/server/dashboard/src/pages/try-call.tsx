// A real call as one of the users, with that user's rights, limits and credentials. The session mints a token for it: it cannot call by itself.
import { CredentialRequiredError, type ToolResult } from '@mcp-valet/client';
import { useState } from 'preact/hooks';
import { callAs, gateway } from '../gateway.ts';
import { useLoad } from '../load.ts';
import { AreaField, Form, SelectField } from '../parts/form.tsx';
import { Badge, Empty, Loaded } from '../parts/page.tsx';
import { milliseconds } from '../words.ts';

/** Something to begin with: the required arguments, empty. */
function skeleton(schema: Record<string, unknown> | undefined): string {
  const { required, properties } = (schema ?? {}) as {
    required?: string[];
    properties?: Record<string, { type?: string }>;
  };
  const empty: Readonly<Record<string, unknown>> = { number: 0, integer: 0, boolean: false, array: [], object: {} };
  const names = Array.isArray(required) ? required : [];
  return JSON.stringify(
    Object.fromEntries(names.map((name) => [name, empty[properties?.[name]?.type ?? ''] ?? ''])),
    null,
    2,
  );
}

interface Done {
  result: ToolResult;
  ms: number;
  user: string;
}

export function TryCall({ connectorId }: { connectorId: string }) {
  const users = useLoad(() => gateway.users.list({ limit: 200 }), []);
  return (
    <div class="card">
      <h2>Try a call as a user</h2>
      <p class="muted">A real call: it runs, it counts against the user’s limits, and it is in the history.</p>
      <Loaded of={users}>
        {(page) =>
          page.items.length === 0 ? (
            <Empty title="There is no user yet">
              <a class="button" href="/admin/users">
                Create a user
              </a>
            </Empty>
          ) : (
            <CallForm connectorId={connectorId} usernames={page.items.map(({ username }) => username)} />
          )
        }
      </Loaded>
    </div>
  );
}

function CallForm({ connectorId, usernames }: { connectorId: string; usernames: readonly string[] }) {
  const [user, setUser] = useState(usernames[0] ?? '');
  const [action, setAction] = useState<string>();
  const [done, setDone] = useState<Done>();
  const listed = useLoad(() => gateway.connectors.actions(connectorId, { userId: user }), [connectorId, user]);
  const actions = listed.data?.actions ?? [];
  const chosen = actions.find(({ id }) => id === action) ?? actions[0];
  return (
    <>
      <SelectField
        label="As user"
        name="user"
        value={user}
        onChoose={setUser}
        options={usernames.map((name) => ({ value: name, text: name }))}
      />
      <Loaded of={listed}>
        {() =>
          chosen === undefined ? (
            <Empty title="It lists no actions for this user">
              <p>The user may have to connect a credential first.</p>
            </Empty>
          ) : (
            <Form
              submit="Call"
              onSubmit={async (data) => {
                setDone(undefined);
                const args = readArguments(data.get('args'));
                const began = performance.now();
                const result = await callAs(user, connectorId, chosen.id, args).catch(explained);
                setDone({ result, user, ms: performance.now() - began });
              }}
            >
              <SelectField
                label="Action"
                name="action"
                value={chosen.id}
                onChoose={setAction}
                options={actions.map(({ id }) => ({ value: id, text: id }))}
                hint={chosen.description}
              />
              <AreaField
                key={chosen.id}
                label="Arguments (JSON)"
                name="args"
                class="mono"
                rows={6}
                defaultValue={skeleton(chosen.inputSchema)}
              />
            </Form>
          )
        }
      </Loaded>
      {done && <Answer done={done} />}
    </>
  );
}

function readArguments(text: FormDataEntryValue | null): Record<string, unknown> {
  const value: unknown = JSON.parse(typeof text === 'string' && text.trim() !== '' ? text : '{}');
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('Arguments are a JSON object.');
  return value as Record<string, unknown>;
}

function explained(error: unknown): never {
  if (error instanceof CredentialRequiredError) {
    throw new Error('This user has no credential for it yet. Store one on the Credentials page, then call again.');
  }
  throw error;
}

function Answer({ done: { result, ms, user } }: { done: Done }) {
  return (
    <div class="stack" role="status">
      <div class="row">
        {result.isError ? <Badge tone="warn">The tool said no</Badge> : <Badge tone="good">Succeeded</Badge>}
        <span class="muted small">
          as {user}, {milliseconds(ms)}
        </span>
      </div>
      <pre class="code" data-answer>
        {result.text() || JSON.stringify(result.structuredContent ?? result.content, null, 2)}
      </pre>
    </div>
  );
}
