// discover_action_path_alloy: ranks the actions that fit a goal by their words. Lexical and deterministic: same catalogue, same answer.
import MiniSearch from 'minisearch';
import { actionSummary, listActions } from '../actions.ts';
import { resultAnswer } from '../answer.ts';
import { chooseCredential, visibleConnectors } from '../catalog.ts';
import { jsonResult } from '../result.ts';
import { localStep, type MetaTool } from '../tool.ts';

const maxSteps = 5;

interface Entry {
  id: string;
  connectorId: string;
  actionId: string;
  connector: string;
  action: string;
  description: string;
  connected: boolean;
}

/** `chat_postMessage` is three words. */
const words = (text: string): string[] =>
  text
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word.length > 1);

export const discoverActionPath: MetaTool<'discover_action_path_alloy'> = {
  name: 'discover_action_path_alloy',
  plan: (input) =>
    localStep('discover_action_path_alloy', input, async (_, __, call) => {
      const connectors = await visibleConnectors(call);
      const found = await Promise.all(
        connectors.map(async (connector): Promise<Entry[]> => {
          const choice = await chooseCredential(call, connector);
          const connected = choice.kind === 'use' || choice.kind === 'none';
          const base = { connectorId: connector.id, connector: `${connector.id} ${connector.name}`, connected };
          // A connector that cannot be asked now still counts by its own words.
          const actions = await listActions(call, connector).catch(() => []);
          const own = { ...base, id: connector.id, actionId: '', action: '', description: connector.description ?? '' };
          return [
            own,
            ...actions.map(actionSummary).map(({ id, name, description }) => ({
              ...base,
              id: `${connector.id} ${id}`,
              actionId: id,
              action: `${id} ${name}`,
              description,
            })),
          ];
        }),
      );
      const entries = found.flat();
      const search = new MiniSearch<Entry>({
        fields: ['action', 'description', 'connector'],
        idField: 'id',
        tokenize: words,
        searchOptions: { boost: { action: 3, connector: 1.5 }, prefix: true, fuzzy: 0.2, combineWith: 'OR' },
      });
      search.addAll(entries);
      const byId = new Map(entries.map((entry) => [entry.id, entry]));
      const ranked = search
        .search(input.goal)
        .sort((a, b) => b.score - a.score || (String(a.id) < String(b.id) ? -1 : 1))
        .flatMap((hit) => byId.get(String(hit.id)) ?? [])
        .filter((entry) => entry.actionId !== '' || !entry.connected)
        .slice(0, maxSteps);
      const steps = ranked.map((entry, index) => ({
        order: index + 1,
        tool: entry.actionId === '' ? 'create_credential_alloy' : 'execute_action_alloy',
        connectorId: entry.connectorId,
        actionId: entry.actionId,
        why: entry.description.slice(0, 200) || `Matches the goal by name: ${entry.actionId || entry.connectorId}`,
        connected: entry.connected,
      }));
      const message =
        steps.length === 0
          ? 'No action matches this goal. Call list_connectors_alloy to see what there is.'
          : `Found ${steps.length} actions that may reach the goal`;
      return resultAnswer(jsonResult({ goal: input.goal, steps, message }));
    }),
};
