// The eight tools in their fixed order, as MCP lists them, and the way from a name and raw arguments to a step.
import { type MetaToolName, metaToolNames, metaTools } from '@mcp-valet/shared';
import * as z from 'zod/mini';
import { Refusal } from '../../refusal.ts';
import type { Step } from '../call.ts';
import type { UserCall } from '../request.ts';
import type { MetaTool } from '../tool.ts';
import type { Relay } from '../upstream-step.ts';
import { createCredentialTool } from './create-credential.ts';
import { discoverActionPath } from './discover.ts';
import { executeAction } from './execute.ts';
import {
  getActionDetails,
  getConnectorResources,
  getCredentialMetadata,
  getCredentials,
  listConnectors,
} from './read.ts';

const tools: { [N in MetaToolName]: MetaTool<N> } = {
  list_connectors_alloy: listConnectors,
  get_connector_resources_alloy: getConnectorResources,
  get_action_details_alloy: getActionDetails,
  execute_action_alloy: executeAction,
  create_credential_alloy: createCredentialTool,
  get_credentials_alloy: getCredentials,
  get_credential_metadata_alloy: getCredentialMetadata,
  discover_action_path_alloy: discoverActionPath,
};

export const metaToolList: readonly Record<string, unknown>[] = metaToolNames.map((name) => {
  const { title, description, readOnly, input } = metaTools[name];
  const { $schema: _dialect, ...inputSchema } = z.toJSONSchema(input, { io: 'input' }) as Record<string, unknown>;
  return {
    name,
    title,
    description,
    inputSchema,
    annotations: {
      title,
      readOnlyHint: readOnly,
      openWorldHint: !readOnly,
      ...(!readOnly && { destructiveHint: name === 'execute_action_alloy' }),
    },
  };
});

export const isMetaTool = (name: string): name is MetaToolName => Object.hasOwn(tools, name);

async function planOf<N extends MetaToolName>(name: N, args: unknown, call: UserCall, relay: Relay): Promise<Step> {
  const parsed = metaTools[name].input.safeParse(args);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
    const text = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
    // As a step of its own, so that a bad call is journaled like any other.
    throw new Refusal('UNPROCESSABLE', `Invalid parameters: ${text}`, {
      details: { issues },
      reason: 'invalid_parameters',
    });
  }
  const tool = tools[name] as MetaTool<N>;
  return tool.plan(parsed.data as Parameters<typeof tool.plan>[0], call, relay);
}

export const planMetaTool = (name: MetaToolName, args: unknown, call: UserCall, relay: Relay): Promise<Step> =>
  planOf(name, args, call, relay);
