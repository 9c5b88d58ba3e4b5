// The quickstart's story as a user of the SDK writes it. Compiled and run in projects that have the packed SDK and nothing else, so it uses no API
// of Node: runtimes at the edge run it too.
import { CredentialRequiredError, MCPClient } from '@mcp-valet/client';

export interface Place {
  url: string;
  apiKey: string;
  /** An MCP server with a tool `count` that counts by marker. */
  upstream: string;
  /** Keeps what several runs make at one gateway apart. */
  name: string;
}

export interface Told {
  /** What each user's call answered. */
  counted: string[];
  /** What the second call with the same idempotency key answered. */
  again: string;
  /** The class of the error for a user without a credential. */
  refused: string;
  users: string[];
  isTyped: boolean;
}

export async function story({ url, apiKey, upstream, name }: Place): Promise<Told> {
  const admin = new MCPClient({ baseUrl: url, apiKey });
  const people = ['alice', 'bob', 'carol'].map((person) => `${name}-${person}`);
  for (const username of people) await admin.users.create({ username });
  await admin.connectors.create({
    connectorId: name,
    kind: 'mcp-http',
    url: upstream,
    secretNames: ['TOKEN'],
    inject: { headers: { authorization: 'Bearer {{TOKEN}}' } },
  });
  const { serverId: server } = await admin.createServer({ name });
  const minted = await admin.keys.create('default', { keyName: name, kind: 'enterprise' });
  const client = new MCPClient({ baseUrl: url, apiKey: minted.apiKey ?? '', server });

  const connected = people.slice(0, 2);
  for (const userId of connected)
    await client.setSecret({ userId, connector: name, name: 'TOKEN', value: `secret-of-${userId}` });
  const count = (userId: string) => ({ connectorId: name, actionId: 'count', parameters: { marker: userId } });
  const counted = await Promise.all(
    connected.map(async (user) => {
      const options = { idempotencyKey: `first-of-${user}` };
      return (await client.executeForUser(user, 'execute_action_alloy', count(user), options)).text();
    }),
  );
  const [alice = '', , carol = ''] = people;
  const options = { idempotencyKey: `first-of-${alice}` };
  const again = await client.forUser(alice).execute('execute_action_alloy', count(alice), options);

  const attempt = await client.executeForUser(carol, 'execute_action_alloy', count(carol)).safe();
  const error = attempt.ok ? undefined : attempt.error;
  const users: string[] = [];
  for await (const { username } of admin.users.list({ limit: 2 })) if (username.startsWith(name)) users.push(username);
  await client.close();
  return {
    counted,
    again: again.text(),
    refused: error?.name ?? 'nothing',
    users: users.sort(),
    isTyped: error instanceof CredentialRequiredError,
  };
}
