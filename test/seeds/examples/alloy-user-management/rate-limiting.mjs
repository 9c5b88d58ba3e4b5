const userRateLimiter = new Map();

async function executeWithRateLimit(userId, method, params) {
  if (userRateLimiter.get(userId) > MAX_REQUESTS_PER_MINUTE) {
    throw new Error('Rate limit exceeded for user');
  }

  // Update rate limit counter
  userRateLimiter.set(userId, (userRateLimiter.get(userId) || 0) + 1);

  return mcpClient.executeForUser(userId, method, params);
}
