class MCPClient {
  constructor(serverUrl, token) {
    this.serverUrl = serverUrl;
    this.token = token;
  }

  async executeForUser(userId, method, params) {
    const response = await fetch(`${this.serverUrl}/${this.token}`, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'Accept': 'application/json, text/event-stream',
        'x-alloy-userid': userId  // Dynamic user override
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        method: 'tools/call',
        params: {
          name: method,
          arguments: params
        },
        id: '1'
      })
    });

    return response.json();
  }
}

// Usage
const mcp = new MCPClient(
  'https://mcp.runalloy.com/mcp/enterprise-123',
  'your_token_here'
);

// Execute for different users
await mcp.executeForUser('user_alice_123', 'list_connectors_alloy', {});
await mcp.executeForUser('user_bob_456', 'list_connectors_alloy', {});
