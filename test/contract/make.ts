// Makes one object of each noun for the samples, through the gateway's own routes. Each returns the id under which a list shows it.
import { type Stage, unique } from './stage.ts';

export async function newServer({ rig }: Stage): Promise<string> {
  return (await rig.manage('POST', '/api/servers', { name: unique('server') })).serverId;
}

export async function newUser({ rig }: Stage): Promise<string> {
  return (await rig.manage('POST', '/users', { username: unique('user') })).username;
}

export async function newKey(stage: Stage): Promise<string> {
  const username = await newUser(stage);
  return (await stage.rig.manage('POST', `/users/${username}/keys`, { key_name: unique('key') })).key_id;
}

export async function newConnector({ rig, upstream }: Stage, key = rig.admin): Promise<string> {
  const made = await rig.manage(
    'POST',
    '/api/connectors',
    { connectorId: unique('c'), kind: 'mcp-http', url: upstream.url },
    key,
  );
  return made.connectorId;
}

/** Of alice, and not her default one. */
export async function newCredential({ rig }: Stage): Promise<string> {
  const fields = { TOKEN: unique('value') };
  const made = await rig.manage('POST', '/api/credentials', {
    userId: 'alice',
    connectorId: 'demo',
    authenticationType: 'secrets',
    fields,
  });
  return made.credentialId;
}

/** Users sign in to it; nobody is asked before somebody does. */
export async function newOAuthConnector({ rig, upstream }: Stage): Promise<string> {
  const origin = new URL(upstream.url).origin;
  const oauth = { authorizationUrl: `${origin}/authorize`, tokenUrl: `${origin}/token`, clientId: 'client' };
  const connectorId = unique('o');
  await rig.manage('POST', '/api/connectors', { connectorId, kind: 'mcp-http', url: upstream.url, oauth });
  return connectorId;
}

/** A sign-in link of that account's alice. */
export async function newLink({ rig }: Stage, key = rig.admin): Promise<string> {
  const body = { userId: 'alice', connectorId: 'demo', authenticationType: 'secrets' };
  const { credentialId } = await rig.manage('POST', '/api/credentials', body, key);
  return (await rig.manage('POST', `/api/credentials/${credentialId}/connect`, undefined, key)).oauthUrl;
}

export async function newCall({ rig }: Stage): Promise<string> {
  const requestId = unique('call');
  const body = { username: 'alice', serverName: 'demo', methodName: 'echo', args: { text: 'hi' } };
  const answer = await rig.send('/mcp/tool/call', { key: rig.admin, body, headers: { 'x-request-id': requestId } });
  if (answer.status !== 200) throw new Error(`the call failed: ${answer.text}`);
  return requestId;
}

export async function newAudit({ rig }: Stage): Promise<string> {
  const requestId = unique('audit');
  const body = { username: unique('user') };
  const answer = await rig.send('/users', { key: rig.admin, body, headers: { 'x-request-id': requestId } });
  if (answer.status !== 201) throw new Error(`the user was not made: ${answer.text}`);
  return requestId;
}

/** A user named in the query, of the account `other` and of none. */
export const maskedUser = {
  foreign: ({ other }: Stage) => ({ query: { userId: other.alice.userId } }),
  missing: () => ({ query: { userId: 'usr_0123456789abcdefghij' } }),
};
