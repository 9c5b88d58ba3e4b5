// When customer Alice uses your platform
await mcpClient.executeForUser(alice.userId, 'execute_action_alloy', {
  connectorId: 'slack',
  actionId: 'chat_postMessage',
  // ... other params
});

// When customer Bob uses your platform
await mcpClient.executeForUser(bob.userId, 'execute_action_alloy', {
  connectorId: 'notion',
  actionId: 'pages_create',
  // ... other params
});
