// Gateways that mint tokens, for the tests beside it: one on loopback, and one with a public address that is answered here. Never part of
// the build.
import { type ClientOptions, MCPClient } from '../index.ts';
import { type Handler, json, rpcResult, textResult } from '../stand-in.test-support.ts';

const minted = (token: string) => ({
  tokenId: 't',
  userId: 'usr_1',
  username: 'alice',
  label: null,
  prefix: 'p',
  servers: null,
  permissions: null,
  scopes: [],
  maxCalls: null,
  callsUsed: 0,
  mintedBy: null,
  createdAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-01T00:15:00.000Z',
  lastUsedAt: null,
  revoked: false,
  token,
});

/** Mints `token-1`, `token-2`, …; answers whatever else with the arguments it got. */
export const minting: Handler = (seen, response, count) =>
  seen.path === '/api/tokens'
    ? json(response, 201, minted(`token-${count}`))
    : rpcResult(seen, response, textResult(seen.body));

/** A client of a gateway with a public address, whose requests are answered here. */
export function publicClient(options: ClientOptions = {}) {
  const requests: Request[] = [];
  const fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(input, init);
    requests.push(request.clone());
    const { pathname } = new URL(request.url);
    if (pathname === '/api/tokens') return Response.json(minted(`token-${requests.length}`), { status: 201 });
    const { id } = (await request.json()) as { id: string };
    const tools = ['slack__read', 'slack__post', 'github__read'].map((name) => ({
      name,
      inputSchema: { type: 'object' },
    }));
    return Response.json({ jsonrpc: '2.0', id, result: { tools } });
  };
  const client = new MCPClient({ baseUrl: 'https://mcp.example.com', apiKey: 'k-canary', fetch, ...options });
  return { client, requests };
}
