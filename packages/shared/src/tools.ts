// The eight tools of connectivity mode, in their fixed order: names, inputs and outputs. What they do lives in the gateway's mcp/tools.
import * as z from 'zod/mini';
import { actionId, connectorId, jsonObject, secretName, secretValue, text } from './primitives.ts';

const connectorRef = connectorId.check(z.describe('Id of a connector, from list_connectors_alloy'));

export const metaTools = {
  list_connectors_alloy: {
    title: 'List connectors',
    description: 'List the connectors you can use, and whether your account is connected to each. Start here.',
    readOnly: true,
    input: z.object({ category: z.optional(text(64).check(z.describe('Only connectors of this category'))) }),
  },
  get_connector_resources_alloy: {
    title: 'List a connector’s actions',
    description: 'List the actions of one connector with a short description of each.',
    readOnly: true,
    input: z.object({ connectorId: connectorRef }),
  },
  get_action_details_alloy: {
    title: 'Describe an action',
    description:
      'Get the parameters of one action as JSON Schema, with an example. Use it before execute_action_alloy.',
    readOnly: true,
    input: z.object({
      connectorId: connectorRef,
      actionId: actionId.check(z.describe('Id of an action of that connector')),
    }),
  },
  execute_action_alloy: {
    title: 'Execute an action',
    description: 'Run one action of a connector with the connected account of the current user.',
    readOnly: false,
    input: z.object({
      connectorId: connectorRef,
      actionId: actionId.check(z.describe('Id of an action of that connector')),
      parameters: z.optional(
        jsonObject.check(
          z.describe('Parameters of the action, flat or under requestBody / queryParameters / pathParams'),
        ),
      ),
      credentialId: z.optional(text(256, 1).check(z.describe('Use this credential instead of the default one'))),
      timeout: z.optional(
        z
          .int()
          .check(z.minimum(1000), z.maximum(300_000), z.describe('Milliseconds to wait for the action, 1000-300000')),
      ),
    }),
  },
  create_credential_alloy: {
    title: 'Connect an account',
    description: 'Store a credential of the current user for a connector. Values are encrypted and never shown again.',
    readOnly: false,
    input: z.object({
      connectorId: connectorRef,
      authenticationType: z.enum(['oauth2', 'api_key', 'secrets']),
      redirectUri: z.optional(text(2048)),
      fields: z.optional(
        z.record(secretName, secretValue).check(z.describe('Secret name to value, for api_key and secrets')),
      ),
    }),
  },
  get_credentials_alloy: {
    title: 'List credentials',
    description: 'List the current user’s credentials, without their values.',
    readOnly: true,
    input: z.object({ connectorId: z.optional(connectorRef) }),
  },
  get_credential_metadata_alloy: {
    title: 'How to connect',
    description: 'Tell which kinds of credentials a connector takes and which fields they need.',
    readOnly: true,
    input: z.object({ connectorId: connectorRef }),
  },
  discover_action_path_alloy: {
    title: 'Find actions for a goal',
    description: 'Given a goal in words, rank the actions that are most likely to reach it.',
    readOnly: true,
    input: z.object({ goal: text(2000, 1).check(z.describe('What you want to achieve')) }),
  },
} as const;

export type MetaToolName = keyof typeof metaTools;
export type MetaToolInput<N extends MetaToolName> = z.output<(typeof metaTools)[N]['input']>;
export const metaToolNames = Object.keys(metaTools) as MetaToolName[];

/** A list_connectors_alloy entry. */
export interface ConnectorSummary {
  id: string;
  name: string;
  description: string;
  category: string[];
  connected: boolean;
}
