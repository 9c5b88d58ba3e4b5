try {
  const result = await mcpClient.executeForUser(userId, method, params);
  return result;
} catch (error) {
  // Fallback logic or error reporting
  console.error(`Failed for user ${userId}:`, error);
}
