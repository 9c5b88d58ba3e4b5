curl -X POST https://mcp.runalloy.com/api/servers \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "enterprise-multi-user",
    "description": "Enterprise server for multiple users",
    "restrictions": {
      "permissions": [
        {
          "connector": "slack",
          "mode": "allow",
          "actions": ["*"]
        },
        {
          "connector": "notion",
          "mode": "allow",
          "actions": ["*"]
        }
      ]
    }
  }'
