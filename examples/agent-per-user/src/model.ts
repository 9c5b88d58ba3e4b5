// In place of a provider's model, so that the example needs no key and says the same every time: it writes the task down, reads all notes, and is
// done. Its two calls have the ids that every other run uses too, as with many providers.
import { MockLanguageModelV4 } from 'ai/test';

export interface NoteTaker {
  model: MockLanguageModelV4;
  /** What the tools answered, as the model was told. */
  heard: string[];
}

export function noteTaker(task: string): NoteTaker {
  const heard: string[] = [];
  const script = [
    { toolCallId: 'call_1', toolName: 'notes__add', input: JSON.stringify({ text: task }) },
    { toolCallId: 'call_2', toolName: 'notes__list', input: '{}' },
  ];
  const tokens = { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0, text: 1, reasoning: 0 };
  const model = new MockLanguageModelV4({
    doGenerate: async ({ prompt }) => {
      const last = prompt.at(-1);
      for (const part of last?.role === 'tool' ? last.content : []) {
        if (part.type === 'tool-result' && part.output.type === 'text') heard.push(part.output.value);
      }
      const call = script.shift();
      return {
        content: [call ? { type: 'tool-call', ...call } : { type: 'text', text: 'Written down.' }],
        finishReason: { unified: call ? 'tool-calls' : 'stop', raw: undefined },
        usage: { inputTokens: tokens, outputTokens: tokens },
        warnings: [],
      };
    },
  });
  return { model, heard };
}
