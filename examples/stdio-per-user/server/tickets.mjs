// A local MCP server of our own, as you might write one for a ticket system: it runs as a child process, signs in with the one key that it
// finds in its environment, and keeps its state in memory. It knows nothing of MCP Valet and nothing of other users.
import { McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import * as z from 'zod';

const key = process.env.TICKETS_KEY ?? '';
const account = { 'key-of-alice-4f1d9a': 'Alice GmbH', 'key-of-bob-b03c77': 'Bob Ltd' }[key] ?? 'nobody';
const tickets = [];

const text = (value) => ({ content: [{ type: 'text', text: JSON.stringify(value) }] });

serveStdio(() => {
  const server = new McpServer({ name: 'tickets', version: '1.0.0' });
  server.registerTool('whoami', { description: 'Tells whose account this process works for' }, () => text({ account }));
  server.registerTool(
    'add_ticket',
    { description: 'Adds a ticket to the account', inputSchema: z.object({ title: z.string() }) },
    ({ title }) => {
      tickets.push(title);
      return text({ account, tickets });
    },
  );
  server.registerTool('list_tickets', { description: 'Lists the tickets of the account' }, () =>
    text({ account, tickets }),
  );
  server.registerTool('crash', { description: 'Ends the process, as a faulty server does' }, () => process.exit(9));
  return server;
});
