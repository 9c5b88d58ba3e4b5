// The tools of the everything-upstream that only the handshake revisions have: pushed requests, session logs, polling.
// Must not be registered on a 2026-07-28 instance: pushed requests throw there.
import { setTimeout as delay } from 'node:timers/promises';
import type { McpServer } from '@modelcontextprotocol/server';
import * as z from 'zod';
import { textResult } from './payloads.ts';

const samplingInput = z.object({ prompt: z.string().describe('The prompt to send to the LLM') });
const elicitationInput = z.object({ message: z.string().describe('The message to show the user') });

export function registerLegacyTools(server: McpServer): void {
  server.registerTool('test_tool_with_logging', { description: 'Logs three times while it runs' }, async (ctx) => {
    await ctx.mcpReq.log('info', 'Tool execution started');
    await delay(50);
    await ctx.mcpReq.log('info', 'Tool processing data');
    await delay(50);
    await ctx.mcpReq.log('info', 'Tool execution completed');
    return textResult('Tool with logging executed successfully');
  });

  server.registerTool(
    'test_sampling',
    { description: "Asks the client's model", inputSchema: samplingInput },
    async ({ prompt }, ctx) => {
      const answer = await ctx.mcpReq.requestSampling({
        messages: [{ role: 'user', content: { type: 'text', text: prompt } }],
        maxTokens: 100,
      });
      const blocks = Array.isArray(answer.content) ? answer.content : [answer.content];
      const reply = blocks.map((block) => (block.type === 'text' ? block.text : JSON.stringify(block))).join('');
      return textResult(`LLM response: ${reply}`);
    },
  );

  server.registerTool(
    'test_elicitation',
    { description: 'Asks the user for name and address', inputSchema: elicitationInput },
    async ({ message }, ctx) => {
      const answer = await ctx.mcpReq.elicitInput({
        message,
        requestedSchema: {
          type: 'object',
          properties: {
            username: { type: 'string', description: "User's response" },
            email: { type: 'string', description: "User's email address" },
          },
          required: ['username', 'email'],
        },
      });
      return textResult(`User response: action: ${answer.action}, content: ${JSON.stringify(answer.content ?? {})}`);
    },
  );

  server.registerTool(
    'test_elicitation_sep1034_defaults',
    { description: 'Asks with a default for every primitive type' },
    async (ctx) => {
      const answer = await ctx.mcpReq.elicitInput({
        message: 'Please review the form fields with their defaults',
        requestedSchema: {
          type: 'object',
          properties: {
            name: { type: 'string', description: 'User name', default: 'John Doe' },
            age: { type: 'integer', description: 'User age', default: 30 },
            score: { type: 'number', description: 'User score', default: 95.5 },
            status: {
              type: 'string',
              description: 'User status',
              enum: ['active', 'inactive', 'pending'],
              default: 'active',
            },
            verified: { type: 'boolean', description: 'Verification status', default: true },
          },
          required: [],
        },
      });
      return completed(answer);
    },
  );

  server.registerTool(
    'test_elicitation_sep1330_enums',
    { description: 'Asks with every form of enum' },
    async (ctx) => {
      const choices = (noun: string) =>
        ['First', 'Second', 'Third'].map((ordinal, index) => ({
          const: `value${index + 1}`,
          title: `${ordinal} ${noun}`,
        }));
      const answer = await ctx.mcpReq.elicitInput({
        message: 'Please choose',
        requestedSchema: {
          type: 'object',
          properties: {
            untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
            titledSingle: { type: 'string', oneOf: choices('Option') },
            legacyEnum: {
              type: 'string',
              enum: ['opt1', 'opt2', 'opt3'],
              enumNames: ['Option One', 'Option Two', 'Option Three'],
            },
            untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
            titledMulti: { type: 'array', items: { anyOf: choices('Choice') } },
          },
          required: [],
        },
      });
      return completed(answer);
    },
  );

  server.registerTool(
    'test_reconnection',
    { description: 'Closes its stream before it answers; the answer waits for a reconnection' },
    async (ctx) => {
      await delay(50);
      ctx.http?.closeSSE?.();
      await delay(100);
      return textResult('Reconnection test completed');
    },
  );
}

function completed(answer: { action: string; content?: unknown }) {
  return textResult(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`);
}
