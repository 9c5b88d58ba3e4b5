// The everything-upstream over stdio, runnable. `--eras=legacy` or `--eras=modern` limits it to one era.
// Must not write anything but protocol messages to stdout.
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import { createEverythingServer } from './server.ts';

const eras = process.argv.find((argument) => argument.startsWith('--eras='))?.slice('--eras='.length) ?? 'both';

if (eras === 'legacy') {
  await createEverythingServer({ era: 'legacy' }).mcp.connect(new StdioServerTransport());
} else {
  serveStdio(({ era }) => createEverythingServer({ era }).mcp, {
    legacy: eras === 'modern' ? 'reject' : 'serve',
    onerror: (error) => process.stderr.write(`everything-upstream: ${error.message}\n`),
  });
}
