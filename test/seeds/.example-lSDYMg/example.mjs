
      import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
      const tokens = { alice: 'mcpv_std_mGxz7R84XDl1lhnvKQr0TJDqUk3wsjBl8CI4LaO2Yq61DClSh', bob: 'mcpv_std_5nAZ8SJTinM7Hwpqn0h0hi35yjugIHWqnPpxmketSJI2gJme1' };
      const sessionStore = { tokenForUser: async (id) => tokens[id] };
      const MCP_URL = 'http://127.0.0.1:43859/mcp';
      for (const currentUser of [{ id: 'alice' }, { id: 'bob' }]) {const token = await sessionStore.tokenForUser(currentUser.id);
const transport = new StreamableHTTPClientTransport(new URL(MCP_URL), {
requestInit: { headers: { authorization: `Bearer ${token}` } },
});

        const client = new Client({ name: 'agent', version: '1.0.0' });
        await client.connect(transport);
        await client.callTool({ name: 'demo__whoami', arguments: {} });
        await client.close();
      }