// The rules of a server, and beside them what they come to: while they are being edited, and once they are saved.
import type { Restrictions, Server } from '@mcp-valet/client';
import { useEffect, useRef, useState } from 'preact/hooks';
import { gateway } from '../gateway.ts';
import { AreaField, Form, SelectField } from '../parts/form.tsx';
import { PermissionsField } from '../parts/permissions.tsx';
import { ServerPreview } from './server-preview.tsx';
import { type Draft, isSame, type RuleName, readRestrictions, ruleOf } from './server-rules.ts';

const modeOptions = [
  { value: '', text: 'No rule' },
  { value: 'allowlist', text: 'Only these' },
  { value: 'blocklist', text: 'All but these' },
];

/** So long nothing is asked after a key was pressed: whole words are worth an answer, their letters are not. */
const settleMs = 300;

export function ServerRestrictions({ server, reload }: { server: Server; reload: () => void }) {
  const saved = server.restrictions;
  const [draft, setDraft] = useState<Draft>();
  // Counts what was thrown away: each time the form begins anew.
  const [discarded, setDiscarded] = useState(0);
  const place = useRef<HTMLDivElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const read = () => {
    const form = place.current?.querySelector('form');
    if (!form) return;
    try {
      setDraft({ restrictions: readRestrictions(new FormData(form)), problem: undefined });
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      setDraft((before) => ({ restrictions: before?.restrictions ?? saved, problem }));
    }
  };
  const isChanged = draft !== undefined && (draft.problem !== undefined || !isSame(draft.restrictions, saved));
  return (
    <div class="grid editor">
      <div class="card">
        <h2>Restrictions</h2>
        <div
          ref={place}
          onInput={() => {
            clearTimeout(timer.current);
            timer.current = setTimeout(read, settleMs);
          }}
        >
          <Form
            key={`${discarded} ${JSON.stringify(saved)}`}
            submit="Save and check"
            cancel="Discard changes"
            onSubmit={async (data) => {
              await gateway.servers.update(server.serverId, { restrictions: readRestrictions(data) });
              read();
              reload();
            }}
            {...(isChanged && {
              onCancel: () => {
                clearTimeout(timer.current);
                setDraft(undefined);
                setDiscarded(discarded + 1);
              },
            })}
          >
            <RuleFields name="connectors" label="Connectors" restrictions={saved} />
            <RuleFields
              name="actions"
              label="Actions"
              hint="An action’s name, or connector.action."
              restrictions={saved}
            />
            <RuleFields name="users" label="Users" restrictions={saved} />
            <PermissionsField permissions={saved?.permissions ?? []} />
          </Form>
        </div>
      </div>
      <ServerPreview server={server} draft={isChanged ? draft : undefined} />
    </div>
  );
}

function RuleFields(props: { name: RuleName; label: string; hint?: string; restrictions: Restrictions | null }) {
  const { name, label, hint, restrictions } = props;
  const { mode: saved, ids, others } = ruleOf(restrictions, name);
  const [mode, setMode] = useState<string>(saved ?? '');
  return (
    <div class="stack">
      <SelectField label={label} name={`${name}-mode`} value={mode} options={modeOptions} onChoose={setMode} />
      {mode !== '' && (
        <AreaField
          label={`${label}, one per line`}
          name={name}
          class="mono"
          defaultValue={ids.join('\n')}
          hint={hint ?? (mode === 'allowlist' ? 'An empty list allows nothing.' : undefined)}
        />
      )}
      {mode !== '' && others.length > 0 && (
        <AreaField
          label={`${label} of the other list, one per line`}
          name={`${name}-others`}
          class="mono"
          defaultValue={others.join('\n')}
          hint={mode === 'allowlist' ? 'Blocked, also where they are allowed.' : 'Allowed, and then nothing else is.'}
        />
      )}
    </div>
  );
}
