// The meta tools that only read: connectors, actions, details, credentials, how to connect. Filtered by the decision function.

import type { ConnectorSummary } from '@mcp-valet/shared';
import type { ListItem } from '../../connectors/lists.ts';
import { groupKey } from '../../connectors/openapi/describe.ts';
import { currentStatus } from '../../credentials/oauth/status.ts';
import { actionNotFound, actionSummary, getVisibleConnector, listActions, textOf } from '../actions.ts';
import { resultAnswer } from '../answer.ts';
import { chooseCredential, visibleConnectors } from '../catalog.ts';
import { isObject } from '../jsonrpc.ts';
import { jsonResult } from '../result.ts';
import { localStep, type MetaTool } from '../tool.ts';

export const listConnectors: MetaTool<'list_connectors_alloy'> = {
  name: 'list_connectors_alloy',
  plan: (input) =>
    localStep('list_connectors_alloy', input, async (_, __, call) => {
      const visible = (await visibleConnectors(call)).filter(
        ({ category }) => input.category === undefined || category.includes(input.category),
      );
      const connectors = await Promise.all(
        visible.map(async (connector): Promise<ConnectorSummary> => {
          const choice = await chooseCredential(call, connector);
          return {
            id: connector.id,
            name: connector.name,
            description: connector.description ?? '',
            category: [...connector.category],
            connected: choice.kind === 'use' || choice.kind === 'none',
          };
        }),
      );
      const message = `Found ${connectors.length} available connectors`;
      return resultAnswer(jsonResult({ connectors, count: connectors.length, message }));
    }),
};

export const getConnectorResources: MetaTool<'get_connector_resources_alloy'> = {
  name: 'get_connector_resources_alloy',
  plan: (input) =>
    localStep('get_connector_resources_alloy', input, async (_, __, call) => {
      const connector = await getVisibleConnector(call, input.connectorId);
      const items = await listActions(call, connector);
      const actions = items.map(actionSummary);
      const resources = grouped(connector.name, items);
      return resultAnswer(jsonResult({ connectorId: connector.id, resources, actions, count: actions.length }));
    }),
};

/** Actions by the group that a document puts them in; what has none stands under the connector's own name. */
function grouped(name: string, items: readonly ListItem[]) {
  const groups = new Map<string, ReturnType<typeof actionSummary>[]>();
  for (const item of items) {
    const meta = isObject(item['_meta']) ? item['_meta'] : {};
    const group = textOf(meta[groupKey]) || name;
    const members = groups.get(group);
    if (members === undefined) groups.set(group, [actionSummary(item)]);
    else members.push(actionSummary(item));
  }
  return [...groups].map(([group, actions]) => ({ name: group, actions }));
}

/** A value that fits the schema's type, so that an agent sees the form. */
function sample(schema: unknown): unknown {
  if (!isObject(schema)) return null;
  if (schema['default'] !== undefined) return schema['default'];
  if (Array.isArray(schema['examples']) && schema['examples'].length > 0) return schema['examples'][0];
  if (Array.isArray(schema['enum'])) return schema['enum'][0];
  switch (schema['type']) {
    case 'integer':
    case 'number':
      return 1;
    case 'boolean':
      return true;
    case 'array':
      return [];
    case 'object':
      return {};
    default:
      return 'text';
  }
}

export const getActionDetails: MetaTool<'get_action_details_alloy'> = {
  name: 'get_action_details_alloy',
  plan: (input, call) =>
    localStep('get_action_details_alloy', input, async () => {
      const connector = await getVisibleConnector(call, input.connectorId);
      // A restricted action is not found here: reading must not tell more than the list.
      const action = (await listActions(call, connector)).find((candidate) => candidate['name'] === input.actionId);
      if (action === undefined) throw actionNotFound();
      const schema = isObject(action['inputSchema']) ? action['inputSchema'] : { type: 'object' };
      const properties = isObject(schema['properties']) ? schema['properties'] : {};
      const required = Array.isArray(schema['required'])
        ? schema['required'].filter((name) => typeof name === 'string')
        : [];
      const optional = Object.keys(properties).filter((name) => !required.includes(name));
      const example = Object.fromEntries(required.map((name) => [name, sample(properties[name])]));
      return resultAnswer(
        jsonResult({
          connectorId: connector.id,
          actionId: textOf(action['name']),
          name: textOf(action['title']) || textOf(action['name']),
          description: textOf(action['description']),
          parameters: schema,
          required,
          optional,
          example,
          annotations: isObject(action['annotations']) ? action['annotations'] : {},
        }),
      );
    }),
};

export const getCredentials: MetaTool<'get_credentials_alloy'> = {
  name: 'get_credentials_alloy',
  plan: (input) =>
    localStep('get_credentials_alloy', input, async (_, __, call) => {
      const visible = new Set((await visibleConnectors(call)).map(({ id }) => id));
      const own = await call.parts.directory.credentials(call.principal.accountId, call.user.record.id);
      const credentials = own
        .filter(({ connectorId }) => visible.has(connectorId) && (input.connectorId ?? connectorId) === connectorId)
        .map((credential) => ({
          credentialId: credential.id,
          name: credential.label ?? credential.id,
          connectorId: credential.connectorId,
          type: `${credential.connectorId}-${credential.type}`,
          status: currentStatus(
            credential,
            credential.secrets.map((secret) => secret.name),
          ),
          isDefault: credential.isDefault,
          createdAt: credential.createdAt.toISOString(),
          updatedAt: credential.updatedAt.toISOString(),
        }));
      return resultAnswer(jsonResult({ credentials, count: credentials.length }));
    }),
};

/** A sign-in by browser: nothing is asked for here. */
const oauthMetadata = {
  authenticationType: 'oauth2',
  authConfigRequired: false,
  inputSchema: {
    type: 'object',
    properties: {
      redirectUri: {
        type: 'string',
        description: 'Where the browser returns to; one of those that the account allows',
      },
    },
    required: [],
  },
  sampleInput: {},
};

export const getCredentialMetadata: MetaTool<'get_credential_metadata_alloy'> = {
  name: 'get_credential_metadata_alloy',
  plan: (input) =>
    localStep('get_credential_metadata_alloy', input, async (_, __, call) => {
      const connector = await getVisibleConnector(call, input.connectorId);
      if (connector.oauth !== null) return resultAnswer(jsonResult({ metadata: [oauthMetadata] }));
      const ofSchemes = Object.values(connector.auth ?? {}).flatMap((parts) => Object.values(parts));
      const names = connector.requiredSecrets.length > 0 ? connector.requiredSecrets : [...new Set(ofSchemes)];
      const fields = {
        type: 'object',
        properties: Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
        required: names,
        additionalProperties: names.length === 0 ? { type: 'string' } : false,
      };
      const inputSchema = { type: 'object', properties: { fields }, required: names.length === 0 ? [] : ['fields'] };
      const sampleInput = { fields: Object.fromEntries(names.map((name) => [name, `your ${name}`])) };
      const metadata = [{ authenticationType: 'secrets', authConfigRequired: false, inputSchema, sampleInput }];
      return resultAnswer(jsonResult({ metadata }));
    }),
};
