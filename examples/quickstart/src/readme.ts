// Your backend, one gateway, two users: each call runs with the credential of the user it is made for.
import { MCPClient } from '@mcp-valet/client';

const { CRM_URL = '', ALICE_CRM_KEY = '', BOB_CRM_KEY = '' } = process.env;
const client = new MCPClient(); // MCP_VALET_BASE_URL and MCP_VALET_API_KEY

// Once: an upstream MCP server, and where a user's secret goes in its requests.
const inject = { headers: { authorization: 'Bearer {{CRM_KEY}}' } };
await client.connectors.create({ connectorId: 'crm', kind: 'mcp-http', url: CRM_URL, inject });

// Per user: a name, and a secret that is sealed on arrival and never shown again.
for (const [userId, value] of Object.entries({ alice: ALICE_CRM_KEY, bob: BOB_CRM_KEY })) {
  await client.users.create({ username: userId });
  await client.setSecret({ userId, connector: 'crm', name: 'CRM_KEY', value });
}

// Per call: one line, and no way to leave the user out.
for (const userId of ['alice', 'bob']) {
  const result = await client.forUser(userId).runAction('crm', 'add_customer', { name: 'Zoe' });
  console.log(result.text()); // Zoe is now a customer of Alice GmbH … of Bob Ltd
}
