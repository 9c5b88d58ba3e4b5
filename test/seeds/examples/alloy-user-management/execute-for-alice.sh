curl -X POST "YOUR_MCP_SERVER_URL" \
  -H "Content-Type: application/json" \
  -H "Accept: application/json, text/event-stream" \
  -H "x-alloy-userid: user_alice_123" \
  -d '{
    "jsonrpc": "2.0",
    "method": "tools/call",
    "params": {
      "name": "execute_action_alloy",
      "arguments": {
        "connectorId": "slack",
        "actionId": "chat_postMessage",
        "credentialId": "alice_slack_credential_id",
        "parameters": {
          "requestBody": {
            "channel": "C123456",
            "text": "Message from Alice"
          }
        }
      }
    },
    "id": "1"
  }'
