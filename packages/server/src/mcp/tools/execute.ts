// execute_action_alloy: runs one action of a connector as the effective user. The arguments of an MCP upstream may stand flat or under
// `requestBody`, unless the action itself has a parameter of that name.

import type { ListItem } from '../../connectors/lists.ts';
import { actionNotFound, findAction, getConnector, noCredentials } from '../actions.ts';
import type { Step } from '../call.ts';
import { isObject } from '../jsonrpc.ts';
import type { MetaTool } from '../tool.ts';
import { timeoutOf, toolStep } from '../upstream-step.ts';

function unwrap(parameters: Record<string, unknown>, item: ListItem): Record<string, unknown> {
  const body = parameters['requestBody'];
  const schema = isObject(item['inputSchema']) ? item['inputSchema'] : {};
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  return isObject(body) && !Object.hasOwn(properties, 'requestBody') ? body : parameters;
}

export const executeAction: MetaTool<'execute_action_alloy'> = {
  name: 'execute_action_alloy',
  async plan(input, call, relay) {
    const connector = await getConnector(call, input.connectorId);
    const { actionId, credentialId } = input;
    const parameters = input.parameters ?? {};
    // The decision comes before the look-up of the action: what is restricted is refused as such even when the upstream is down.
    const step: Step = {
      label: 'execute_action_alloy',
      target: { connector, action: actionId },
      input: { connector: connector.id, name: actionId, parameters },
      credential: { use: 'choose', argument: credentialId },
      isLocalRead: false,
      dialog: relay.dialog,
      timeoutMs: timeoutOf(call, connector, input.timeout),
      async run(upstream, signal) {
        const item = await findAction(call, connector, actionId, credentialId);
        if (item === null) throw noCredentials(call, connector);
        if (item['name'] !== actionId) throw actionNotFound();
        return toolStep(
          call,
          {
            connector,
            item,
            arguments: connector.kind === 'http' ? parameters : unwrap(parameters, item),
            credentialId,
          },
          'execute_action_alloy',
          relay,
        ).run(upstream, signal, call);
      },
    };
    return step;
  },
};
