// The upstreams that the source texts talk about (slack, notion, mcp-github, erpnext), as one loopback server: per connector the tools that the
// examples call, each of which answers with what arrived. Knows nothing of the gateway.
import type { Json } from '../support/gateway.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';

export interface ArrivedCall {
  connector: string;
  tool: string;
  arguments: Json;
  authorization: string | undefined;
}

export interface NamedUpstream {
  urlOf(connector: string): string;
  /** Executions so far, in order. */
  readonly calls: readonly ArrivedCall[];
  /** Everything that arrived, as one text. */
  text(): string;
  reset(): void;
  close(): Promise<void>;
}

export async function startNamedUpstream(tools: Readonly<Record<string, readonly string[]>>): Promise<NamedUpstream> {
  const calls: ArrivedCall[] = [];
  const upstream = await startRecordingUpstream({
    record: true,
    intercept({ url, body, headers }) {
      const connector = url.slice(1);
      const own = tools[connector] ?? [];
      const { id, method, params } = body.length === 0 ? ({} as Json) : JSON.parse(body.toString('utf8'));
      const reply = (result: unknown) => ({
        status: 200,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ jsonrpc: '2.0', id, result }),
      });
      if (method === 'tools/list') {
        return reply({
          tools: own.map((name) => ({ name, description: `${name} of ${connector}`, inputSchema: { type: 'object' } })),
        });
      }
      if (method !== 'tools/call' || !own.includes(params.name)) return undefined;
      const arrived = {
        connector,
        tool: params.name,
        arguments: params.arguments,
        authorization: headers.authorization,
      };
      calls.push(arrived);
      return reply({ content: [{ type: 'text', text: JSON.stringify({ tool: arrived.tool, ok: true }) }] });
    },
  });
  return {
    urlOf: (connector) => new URL(`/${connector}`, upstream.url).href,
    calls,
    text: () =>
      upstream.recorded
        .map(({ url, rawHeaders, body }) => [url, ...rawHeaders, body.toString('utf8')].join('\n'))
        .join('\n'),
    reset() {
      calls.length = 0;
      upstream.reset();
    },
    close: () => upstream.close(),
  };
}
