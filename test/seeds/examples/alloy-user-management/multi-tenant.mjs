const tenantUserId = `tenant_${tenantId}_user_${userId}`;
await mcpClient.executeForUser(tenantUserId, method, params);
