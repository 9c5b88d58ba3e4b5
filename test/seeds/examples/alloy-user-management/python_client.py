import requests

class MCPClient:
    def __init__(self, server_url, token):
        self.server_url = server_url
        self.token = token

    def execute_for_user(self, user_id, method, params):
        url = f"{self.server_url}/{self.token}"

        headers = {
            'Content-Type': 'application/json',
            'Accept': 'application/json, text/event-stream',
            'x-alloy-userid': user_id  # Dynamic user override
        }

        payload = {
            'jsonrpc': '2.0',
            'method': 'tools/call',
            'params': {
                'name': method,
                'arguments': params
            },
            'id': '1'
        }

        response = requests.post(url, json=payload, headers=headers)
        return response.json()

# Usage
mcp = MCPClient(
    'https://mcp.runalloy.com/mcp/enterprise-123',
    'your_token_here'
)

# Execute for different users
mcp.execute_for_user('user_alice_123', 'list_connectors_alloy', {})
mcp.execute_for_user('user_bob_456', 'list_connectors_alloy', {})
