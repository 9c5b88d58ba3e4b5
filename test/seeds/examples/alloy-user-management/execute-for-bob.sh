curl -X POST "YOUR_MCP_SERVER_URL" \
  -H "Content-Type: application/json" \
  -H "Accept: application/json, text/event-stream" \
  -H "x-alloy-userid: user_bob_456" \
  -d '{
    "jsonrpc": "2.0",
    "method": "tools/call",
    "params": {
      "name": "execute_action_alloy",
      "arguments": {
        "connectorId": "slack",
        "actionId": "chat_postMessage",
        "credentialId": "bob_slack_credential_id",
        "parameters": {
          "requestBody": {
            "channel": "C789012",
            "text": "Message from Bob"
          }
        }
      }
    },
    "id": "1"
  }'
