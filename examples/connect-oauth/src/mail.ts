// Somebody else's product: an authorization server (oidc-provider, a real one) and an MCP server that it guards. Neither knows the gateway's
// users; the MCP server tells every caller whose mailbox the token opens, and answers 401 to everybody else.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';

export interface Mail {
  /** The MCP endpoint. All that an operator needs to know. */
  url: string;
  issuer: string;
  close(): Promise<void>;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export async function startMail(): Promise<Mail> {
  const guard = createServer();
  const mcp = createServer();
  const [issuer, origin] = [await listen(guard), await listen(mcp)];
  const url = `${origin}/mcp`;
  const provider = new Provider(issuer, {
    clients: [],
    scopes: ['openid', 'offline_access', 'mail.read'],
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    features: {
      // Its own pages for sign-in and consent, and no clients but those that register themselves.
      devInteractions: { enabled: true },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: 'mail.read', audience: url, accessTokenFormat: 'opaque' }),
        useGrantedResource: () => true,
      },
    },
    cookies: { keys: ['only-for-this-example'] },
    ttl: { AccessToken: 3600, RefreshToken: 86_400, Interaction: 600, Session: 3600, Grant: 86_400 },
  });
  const signIn = provider.callback();
  guard.on('request', (request, response) => void signIn(request, response));
  mcp.on('request', (request, response) => {
    const answer = async (): Promise<void> => {
      const reply = (status: number, body: unknown, headers: Record<string, string> = {}) =>
        response
          .writeHead(status, { 'content-type': 'application/json', ...headers })
          .end(body === undefined ? '' : JSON.stringify(body));
      const metadata = `${origin}/.well-known/oauth-protected-resource/mcp`;
      if (request.url === new URL(metadata).pathname)
        return void reply(200, { resource: url, authorization_servers: [issuer], scopes_supported: ['mail.read'] });
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const token = await provider.AccessToken.find((request.headers.authorization ?? '').replace('Bearer ', ''));
      if (token === undefined)
        return void reply(401, undefined, { 'www-authenticate': `Bearer resource_metadata="${metadata}"` });
      if (request.method !== 'POST') return void reply(405, undefined);
      const { id, method, params } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
        id?: unknown;
        method: string;
        params?: { protocolVersion?: string };
      };
      if (id === undefined) return void reply(202, undefined);
      const results: Record<string, unknown> = {
        initialize: {
          protocolVersion: params?.protocolVersion,
          capabilities: { tools: {} },
          serverInfo: { name: 'mail', version: '1' },
        },
        'tools/list': { tools: [{ name: 'whose_mailbox', inputSchema: { type: 'object' } }] },
        'tools/call': { content: [{ type: 'text', text: token.accountId }] },
      };
      const result = results[method];
      reply(200, { jsonrpc: '2.0', id, ...(result ? { result } : { error: { code: -32601, message: 'Not found' } }) });
    };
    answer().catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  const closeOne = (server: Server): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    url,
    issuer,
    close: async () => {
      await Promise.all([guard, mcp].map(closeOne));
    },
  };
}
