// An agent of your product for one of its users: the framework's own loop, with that user's tools. This is the part to copy.
import type { UserClient } from '@mcp-valet/client';
import { aiSdk } from '@mcp-valet/client/ai-sdk';
import { generateText, type LanguageModel, stepCountIs } from 'ai';

export async function runAgent(user: UserClient, model: LanguageModel, prompt: string): Promise<string> {
  const { text } = await generateText({
    model,
    prompt,
    tools: await user.toolsFor(aiSdk, { include: ['notes__*'] }),
    stopWhen: stepCountIs(5),
  });
  return text;
}
