// Sales team member
await mcpClient.executeForUser('team_sales_john', 'execute_action_alloy', {
  connectorId: 'hubspot',
  actionId: 'contacts_create'
});

// Marketing team member
await mcpClient.executeForUser('team_marketing_jane', 'execute_action_alloy', {
  connectorId: 'mailchimp',
  actionId: 'campaigns_create'
});
