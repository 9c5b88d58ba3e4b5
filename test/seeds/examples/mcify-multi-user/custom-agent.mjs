const token = await sessionStore.tokenForUser(currentUser.id);
const transport = new StreamableHTTPClientTransport(new URL(MCP_URL), {
requestInit: { headers: { authorization: `Bearer ${token}` } },
});
