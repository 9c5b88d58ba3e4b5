// The tools of the recording upstream: who is asking, echo, sums, counted executions, slow and failing calls.
// Must not await anything on the fast path: a benchmark runs against it.
import type { IncomingMessage, ServerResponse } from 'node:http';

export type Reply =
  | { readonly result: Record<string, unknown> }
  | { readonly error: { readonly code: number; readonly message: string } };

export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  readonly reply: (reply: Reply) => void;
}

export interface RecordingTools {
  readonly list: readonly Record<string, unknown>[];
  readonly counts: ReadonlyMap<string, number>;
  aborted(): number;
  call(call: Call): void;
  reset(): void;
}

/** Headers that any HTTP or MCP client sends; what is left is what a connector injected. */
const transportHeaders = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'connection',
  'content-length',
  'content-type',
  'host',
  'keep-alive',
  'mcp-method',
  'mcp-name',
  'mcp-protocol-version',
  'sec-fetch-mode',
  'transfer-encoding',
  'user-agent',
]);

const object = (properties: Record<string, unknown>, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
});
const string = { type: 'string' };
const number = { type: 'number' };

const list = [
  { name: 'whoami', description: 'Says which credential arrived', inputSchema: object({}) },
  { name: 'echo', description: 'Repeats its text', inputSchema: object({ text: string }) },
  { name: 'add', description: 'Adds two numbers', inputSchema: object({ a: number, b: number }, ['a', 'b']) },
  {
    name: 'count',
    description: 'Counts executions per marker; may wait, or hang up instead of answering',
    inputSchema: object({ marker: string, ms: number, hangUp: { type: 'boolean' } }, ['marker']),
  },
  { name: 'slow', description: 'Answers after some milliseconds', inputSchema: object({ ms: number }, ['ms']) },
  { name: 'fail', description: 'Fails', inputSchema: object({ message: string, code: { type: 'integer' } }) },
  {
    name: 'region',
    description: 'Has an argument that 2026-07-28 mirrors in a header',
    inputSchema: object({ region: { type: 'string', 'x-mcp-header': 'Region' } }),
  },
];

export function createRecordingTools(): RecordingTools {
  const counts = new Map<string, number>();
  let aborted = 0;

  const later = (call: Call, ms: number, answer: () => void) => {
    const timer = setTimeout(answer, ms);
    call.response.on('close', () => {
      if (call.response.writableFinished) return;
      aborted += 1;
      clearTimeout(timer);
    });
  };

  const tools: Record<string, (call: Call) => void> = {
    whoami(call) {
      const headers: Record<string, unknown> = {};
      for (const [name, value] of Object.entries(call.request.headers)) {
        if (!transportHeaders.has(name)) headers[name] = value;
      }
      const url = call.request.url ?? '';
      answerText(call, JSON.stringify({ headers, arguments: call.arguments, url }));
    },
    echo(call) {
      const { text } = call.arguments;
      answerText(call, typeof text === 'string' ? text : JSON.stringify(call.arguments));
    },
    add(call) {
      answerText(call, String(Number(call.arguments['a']) + Number(call.arguments['b'])));
    },
    count(call) {
      const marker = String(call.arguments['marker']);
      const executions = (counts.get(marker) ?? 0) + 1;
      counts.set(marker, executions);
      const answer = () => {
        if (call.arguments['hangUp'] === true) call.request.socket.destroy();
        else answerText(call, String(executions));
      };
      const ms = Number(call.arguments['ms'] ?? 0);
      if (ms > 0) later(call, ms, answer);
      else answer();
    },
    slow(call) {
      const ms = Number(call.arguments['ms'] ?? 0);
      later(call, ms, () => answerText(call, `waited ${ms} ms`));
    },
    fail(call) {
      const { code, message = 'failed on purpose' } = call.arguments;
      if (typeof code === 'number') call.reply({ error: { code, message: String(message) } });
      else call.reply({ result: { content: [{ type: 'text', text: String(message) }], isError: true } });
    },
    region(call) {
      const header = call.request.headers['mcp-param-region'] ?? null;
      answerText(call, JSON.stringify({ argument: call.arguments['region'] ?? null, header }));
    },
  };

  return {
    list,
    counts,
    aborted: () => aborted,
    call(call) {
      const tool = Object.hasOwn(tools, call.name) ? tools[call.name] : undefined;
      if (tool === undefined) call.reply({ error: { code: -32602, message: `Unknown tool: ${call.name}` } });
      else tool(call);
    },
    reset() {
      counts.clear();
      aborted = 0;
    },
  };
}

function answerText(call: Call, text: string): void {
  call.reply({ result: { content: [{ type: 'text', text }] } });
}
