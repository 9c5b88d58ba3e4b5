// A small upstream of our own, a customer database behind MCP: it knows its customers by their API key and shows which key arrived. It
// stands for whatever SaaS your users have accounts at, and knows nothing of MCP Valet.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type NodeIncomingMessageLike, toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

export interface CrmUpstream {
  url: string;
  /** How many tool calls reached it, by account. */
  calls: Map<string, number>;
  close(): Promise<void>;
}

/** `accounts`: API key -> the account that the key signs in. */
export async function startCrm(accounts: ReadonlyMap<string, string>): Promise<CrmUpstream> {
  const calls = new Map<string, number>();
  const accountOf = (request: Request | undefined): string | undefined =>
    accounts.get((request?.headers.get('authorization') ?? '').replace(/^Bearer /, ''));

  const handler = createMcpHandler(({ requestInfo }) => {
    const account = accountOf(requestInfo) ?? 'nobody';
    const count = (): void => void calls.set(account, (calls.get(account) ?? 0) + 1);
    const server = new McpServer({ name: 'crm', version: '1.0.0' });
    server.registerTool(
      'whoami',
      { description: 'Tells whose account this is', annotations: { readOnlyHint: true } },
      () => {
        count();
        return { content: [{ type: 'text', text: JSON.stringify({ account }) }], structuredContent: { account } };
      },
    );
    server.registerTool('delete_everything', { description: 'Deletes all customers of the account' }, () => {
      count();
      return { content: [{ type: 'text', text: `All customers of ${account} are gone` }] };
    });
    server.registerTool(
      'add_customer',
      { description: 'Adds a customer to the account', inputSchema: z.object({ name: z.string() }) },
      ({ name }) => {
        count();
        return { content: [{ type: 'text', text: `${name} is now a customer of ${account}` }] };
      },
    );
    return server;
  });
  const node = toNodeHandler(handler);
  const http = createServer((request, response) => {
    // Whoever shows no valid key gets nothing, not even a list.
    if (!accounts.has((request.headers.authorization ?? '').replace(/^Bearer /, ''))) {
      response.writeHead(401).end();
      return;
    }
    void node(request as NodeIncomingMessageLike, response);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    calls,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}
