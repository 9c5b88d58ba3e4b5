// Store credentials per user
const userCredentials = {
  'user_alice_123': {
    slack: 'alice_slack_credential_id',
    notion: 'alice_notion_credential_id'
  },
  'user_bob_456': {
    slack: 'bob_slack_credential_id',
    hubspot: 'bob_hubspot_credential_id'
  }
};
