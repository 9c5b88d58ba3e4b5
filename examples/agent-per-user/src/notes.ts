// An upstream of our own, a note pad behind MCP: it knows accounts by their API key and nothing of MCP Valet. It stands for whatever your users
// have accounts at.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type NodeIncomingMessageLike, toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';

export interface Notes {
  url: string;
  /** What was written, by the API key that arrived. */
  written: Map<string, string[]>;
  close(): Promise<void>;
}

export async function startNotes(): Promise<Notes> {
  const written = new Map<string, string[]>();
  const handler = createMcpHandler(({ requestInfo }) => {
    const key = (requestInfo?.headers.get('authorization') ?? '').replace(/^Bearer /, '');
    const own = written.get(key) ?? [];
    written.set(key, own);
    const server = new McpServer({ name: 'notes', version: '1.0.0' });
    const say = (text: string) => ({ content: [{ type: 'text' as const, text }] });
    server.registerTool('add', { description: 'Adds a note', inputSchema: z.object({ text: z.string() }) }, (note) => {
      own.push(note.text);
      return say(`${own.length} notes`);
    });
    server.registerTool('list', { description: 'Lists all notes', annotations: { readOnlyHint: true } }, () =>
      say(own.join(', ')),
    );
    return server;
  });
  const node = toNodeHandler(handler);
  const http = createServer((request, response) => void node(request as NodeIncomingMessageLike, response));
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    written,
    close: () =>
      new Promise((resolve) => {
        http.close(() => resolve());
        http.closeAllConnections();
      }),
  };
}
