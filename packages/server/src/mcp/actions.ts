// Actions of a connector as the meta tools show them: an MCP tool of the upstream under its own name. Shared by the meta tools and the
// direct tool call, so that what one lists the other can execute.
import type { ListItem } from '../connectors/lists.ts';
import type { ConnectorRecord } from '../identity/records.ts';
import { Refusal } from '../refusal.ts';
import { decideOn, forbidden, rulesOf } from './caller.ts';
import { chooseCredential, connectorList, findConnector } from './catalog.ts';
import { isObject } from './jsonrpc.ts';
import type { UserCall } from './request.ts';

export const connectorNotFound = (word = 'server_not_found'): Refusal =>
  new Refusal('NOT_FOUND', 'Connector not found', { word });
export const actionNotFound = (): Refusal => new Refusal('NOT_FOUND', 'Action not found', { word: 'tool_not_found' });

/** The connector, or the refusal that says no more than it must. */
export async function getConnector(call: UserCall, connectorId: string): Promise<ConnectorRecord> {
  const connector = await findConnector(call, connectorId);
  if (connector === undefined) throw connectorNotFound();
  return connector;
}

/** The connector if this user may see it here; throws the restriction's own words otherwise. */
export async function getVisibleConnector(call: UserCall, connectorId: string): Promise<ConnectorRecord> {
  const connector = await getConnector(call, connectorId);
  const decision = decideOn(rulesOf(call), connector);
  if (!decision.allowed) throw forbidden(decision);
  return connector;
}

/** What the upstream lists for this user; undefined when a credential is missing. */
async function actionItems(
  call: UserCall,
  connector: ConnectorRecord,
  credentialId?: string,
): Promise<readonly ListItem[] | undefined> {
  const choice = await chooseCredential(call, connector, credentialId);
  return (await connectorList(call, 'tools', connector, choice))?.items;
}

export const noCredentials = (call: UserCall, connector: ConnectorRecord): Refusal =>
  new Refusal(
    'CREDENTIALS_REQUIRED',
    `No credentials found for ${call.user.record.username} on connector ${connector.id}`,
    {
      reason: 'credential_missing',
    },
  );

/** Actions that the user may execute. Throws CREDENTIALS_REQUIRED when the upstream cannot be asked without one. */
export async function listActions(call: UserCall, connector: ConnectorRecord): Promise<ListItem[]> {
  const items = await actionItems(call, connector);
  if (items === undefined) throw noCredentials(call, connector);
  const rules = rulesOf(call);
  return items.filter((item) => decideOn(rules, connector, String(item['name'])).allowed);
}

/**
 * The action by its own name; null when the upstream cannot be asked for want of a credential. Does not decide: a restricted action must be
 * refused as such by the pipeline.
 */
export async function findAction(
  call: UserCall,
  connector: ConnectorRecord,
  actionId: string,
  credentialId?: string,
): Promise<ListItem | null> {
  const items = await actionItems(call, connector, credentialId);
  if (items === undefined) return null;
  const item = items.find((candidate) => candidate['name'] === actionId);
  if (item === undefined) throw actionNotFound();
  return item;
}

export const isReadOnly = (item: ListItem): boolean =>
  isObject(item['annotations']) && item['annotations']['readOnlyHint'] === true;
export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** How an action is shown in lists. */
export const actionSummary = (item: ListItem) => ({
  id: textOf(item['name']),
  name: textOf(item['title']) || textOf(item['name']),
  description: textOf(item['description']),
  readOnly: isReadOnly(item),
});
