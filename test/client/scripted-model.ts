// A model that says what a script says: two tool calls per turn under ids that it uses again and again, then a last word. It keeps what it
// was told, and it speaks the wire of two providers on loopback, so that a framework runs its own code.
import { createServer } from 'node:http';
import { closeServer, listenOnLoopback } from '../support/loopback.ts';

export interface Ask {
  id: string;
  name: string;
  args: Record<string, unknown>;
}

export class ScriptedModel {
  /** Per turn the text of each tool's answer, as the framework passed it on. */
  readonly heard: string[][] = [];
  readonly #marker: string;
  readonly #turns: number;
  #turn = 0;

  constructor(marker: string, turns: number) {
    this.#marker = marker;
    this.#turns = turns;
  }

  /** The same two calls every turn: who am I, and count me. A wrong replay would repeat a number. */
  next(results: string[]): Ask[] {
    if (this.#turn > 0) this.heard.push(results);
    if (this.#turn++ >= this.#turns) return [];
    return [
      { id: 'call_1', name: 'demo__whoami', args: { marker: this.#marker } },
      { id: 'call_2', name: 'demo__count', args: { marker: this.#marker } },
    ];
  }
}

export interface ScriptedApi {
  url: string;
  close(): Promise<void>;
}

type Body = Record<string, unknown>;

/** Answers POST requests with JSON. */
async function startApi(answer: (body: Body) => Body): Promise<ScriptedApi> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Body;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer(body)));
  });
  const port = await listenOnLoopback(server);
  return { url: `http://127.0.0.1:${port}`, close: () => closeServer(server) };
}

const last = <T>(list: unknown, from: (entry: T) => boolean): T[] => {
  const all = list as T[];
  const end = all.findLastIndex((entry) => !from(entry));
  return all.slice(end + 1);
};

/** OpenAI's Responses API and Chat Completions, by what the body holds. */
export function startOpenAI(model: ScriptedModel): Promise<ScriptedApi> {
  return startApi((body) => {
    if ('messages' in body) {
      const told = last<{ role: string; content: string }>(body['messages'], ({ role }) => role === 'tool');
      const asks = model.next(told.map(({ content }) => content));
      const calls = asks.map(({ id, name, args }) => ({
        id,
        type: 'function',
        function: { name, arguments: JSON.stringify(args) },
      }));
      const message = { role: 'assistant', content: calls.length > 0 ? null : 'Done.', tool_calls: calls };
      return {
        id: 'c',
        object: 'chat.completion',
        model: 'm',
        choices: [{ index: 0, message, finish_reason: 'stop' }],
      };
    }
    const told = last<{ type: string; output: string }>(body['input'], ({ type }) => type === 'function_call_output');
    const asks = model.next(told.map(({ output }) => output));
    const output = asks.map(({ id, name, args }) => ({
      type: 'function_call',
      call_id: id,
      name,
      arguments: JSON.stringify(args),
    }));
    return { id: 'r', object: 'response', model: 'm', output };
  });
}

/** Anthropic's Messages API. */
export function startAnthropic(model: ScriptedModel): Promise<ScriptedApi> {
  return startApi((body) => {
    const messages = body['messages'] as { content: string | { type: string; content: unknown }[] }[];
    const blocks = messages.at(-1)?.content ?? [];
    const told = typeof blocks === 'string' ? [] : blocks.filter(({ type }) => type === 'tool_result');
    const asks = model.next(told.map(({ content }) => textOf(content)));
    const content = asks.map(({ id, name, args }) => ({ type: 'tool_use', id, name, input: args }));
    return {
      id: 'm',
      type: 'message',
      role: 'assistant',
      model: 'm',
      content: content.length > 0 ? content : [{ type: 'text', text: 'Done.' }],
      stop_reason: content.length > 0 ? 'tool_use' : 'end_turn',
      usage: { input_tokens: 1, output_tokens: 1 },
    };
  });
}

/** The text of an answer, whether it came as text or as blocks. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content;
  const blocks = (Array.isArray(content) ? content : [content]) as { text?: string }[];
  return blocks.map(({ text }) => text ?? '').join('\n');
}
