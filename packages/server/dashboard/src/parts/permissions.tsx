// Rules that go down to actions, one per line: `allow github: issues_*, pulls_list`. The same text for users and servers.
import { typed } from '../words.ts';
import { AreaField } from './form.tsx';

export interface Permission {
  connector: string;
  mode: 'allow' | 'block';
  actions: string[];
}

const written = (permissions: readonly Permission[]): string =>
  permissions.map(({ connector, mode, actions }) => `${mode} ${connector}: ${actions.join(', ')}`).join('\n');

export function PermissionsField({ permissions }: { permissions: readonly Permission[] }) {
  return (
    <AreaField
      label="Rules for single actions"
      name="permissions"
      class="mono"
      defaultValue={written(permissions)}
      placeholder={'allow github: issues_*, pulls_list\nblock github: issues_delete'}
      hint="One rule per line: allow or block, the connector, a colon, actions. A name may end in *. As soon as one rule allows, connectors without a rule are closed."
    />
  );
}

/** Throws with the line that cannot be read. */
export function readPermissions(data: FormData): Permission[] {
  const lines = (typed(data, 'permissions') ?? '').split('\n').map((line) => line.trim());
  return lines.filter(Boolean).map((line) => {
    const match = /^(allow|block)\s+([^\s:]+)\s*:\s*(.*)$/.exec(line);
    if (!match) throw new Error(`This rule cannot be read: ${line}`);
    const [, mode = 'block', connector = '', actions = ''] = match;
    return {
      mode: mode === 'allow' ? 'allow' : 'block',
      connector,
      actions: actions
        .split(',')
        .map((action) => action.trim())
        .filter(Boolean),
    };
  });
}
