// The tools of the everything-upstream that only 2026-07-28 has: input_required flows, Mcp-Param, list-change triggers.
// Must not push a request to the client: on this revision questions are results.
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  fromJsonSchema,
  type InputRequests,
  inputRequired,
  inputResponse,
  type McpServer,
} from '@modelcontextprotocol/server';
import * as z from 'zod';
import { textResult } from './payloads.ts';
import type { RequestState, RequestStateMint } from './request-state.ts';

/** Where a trigger tool announces a changed list; HTTP and stdio publish in different ways. */
export interface ListChanges {
  toolsChanged(): void;
  promptsChanged(): void;
}

// The SDK declares the envelope as an empty object type.
type Envelope = { readonly [CLIENT_CAPABILITIES_META_KEY]?: ClientCapabilities };

const named = z.object({ name: z.string() });
const coloured = z.object({ color: z.string() });
const confirmed = z.object({ ok: z.boolean() });

// A variable, because the SDK's schema type does not know the annotation and would refuse a literal.
const region = { type: 'string' as const, description: 'Sent as Mcp-Param-Region too', 'x-mcp-header': 'Region' };
const paramHeaderInput = fromJsonSchema<{ region?: string }>({ type: 'object', properties: { region } });

const askName = (message = 'What is your name?') =>
  inputRequired.elicit({
    message,
    requestedSchema: { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] },
  });
const askConfirmation = () =>
  inputRequired.elicit({
    message: 'Please confirm',
    requestedSchema: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
  });
const askModel = (question: string, maxTokens: number) =>
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: question } }],
    maxTokens,
  });

export function registerModernTools(server: McpServer, mint: RequestStateMint, changes: ListChanges): void {
  server.registerTool('test_missing_capability', { description: 'Needs the sampling capability' }, (ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'needed');
    if (answer.kind === 'sampling') return textResult('Sampling was available');
    return inputRequired({ inputRequests: { needed: askModel('Is sampling there?', 10) } });
  });
  server.registerTool('test_streaming_elicitation', { description: 'Answers without asking' }, () =>
    textResult('No request was sent on this stream'),
  );
  server.registerTool('test_logging_tool', { description: 'Logs when the request asks for it' }, async (ctx) => {
    await ctx.mcpReq.log('info', 'Logging tool ran');
    return textResult('Logging tool finished');
  });
  server.registerTool('test_trigger_tool_change', { description: 'Announces a changed tool list' }, () => {
    changes.toolsChanged();
    return textResult('Tool list change announced');
  });
  server.registerTool('test_trigger_prompt_change', { description: 'Announces a changed prompt list' }, () => {
    changes.promptsChanged();
    return textResult('Prompt list change announced');
  });
  server.registerTool(
    'test_x_mcp_header',
    { description: 'Has an argument that is mirrored in a header', inputSchema: paramHeaderInput },
    (args) => textResult(`region=${args.region ?? '(none)'}`),
  );

  server.registerTool('test_input_required_result_elicitation', { description: 'Asks for a name' }, (ctx) => {
    const answer = acceptedContent(ctx.mcpReq.inputResponses, 'user_name', named);
    if (answer === undefined) return inputRequired({ inputRequests: { user_name: askName() } });
    return textResult(`Hello, ${answer.name}!`);
  });
  server.registerTool('test_input_required_result_sampling', { description: "Asks the client's model" }, (ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'capital_question');
    if (answer.kind === 'sampling') return textResult(JSON.stringify(answer.result.content));
    return inputRequired({ inputRequests: { capital_question: askModel('What is the capital of France?', 100) } });
  });
  server.registerTool(
    'test_input_required_result_list_roots',
    { description: "Asks for the client's roots" },
    (ctx) => {
      const answer = inputResponse(ctx.mcpReq.inputResponses, 'client_roots');
      if (answer.kind === 'roots') return textResult(`Roots: ${answer.roots.map((root) => root.uri).join(', ')}`);
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    },
  );

  for (const tool of ['test_input_required_result_request_state', 'test_input_required_result_tampered_state']) {
    server.registerTool(tool, { description: 'Asks for a confirmation and checks its own state' }, async (ctx) => {
      const state = ctx.mcpReq.requestState<RequestState>();
      const answer = acceptedContent(ctx.mcpReq.inputResponses, 'confirm', confirmed);
      if (state?.tool === tool && answer !== undefined) return textResult('state-ok');
      const requestState = await mint({ tool, step: 1 });
      return inputRequired({ inputRequests: { confirm: askConfirmation() }, requestState });
    });
  }

  const multiple = 'test_input_required_result_multiple_inputs';
  server.registerTool(multiple, { description: 'Asks for three things at once' }, async (ctx) => {
    const responses = ctx.mcpReq.inputResponses;
    const name = acceptedContent(responses, 'user_name', named);
    const greeting = inputResponse(responses, 'greeting');
    const roots = inputResponse(responses, 'client_roots');
    const state = ctx.mcpReq.requestState<RequestState>();
    if (state?.tool === multiple && name && greeting.kind === 'sampling' && roots.kind === 'roots') {
      return textResult(`${JSON.stringify(greeting.result.content)} for ${name.name}, ${roots.roots.length} root(s)`);
    }
    return inputRequired({
      inputRequests: {
        user_name: askName(),
        greeting: askModel('Generate a greeting', 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await mint({ tool: multiple, step: 1 }),
    });
  });

  const rounds = 'test_input_required_result_multi_round';
  server.registerTool(rounds, { description: 'Asks twice, one question after the other' }, async (ctx) => {
    const received = ctx.mcpReq.requestState<RequestState>();
    const step = received?.tool === rounds ? received.step : 0;
    const name = acceptedContent(ctx.mcpReq.inputResponses, 'step1', named);
    const color = acceptedContent(ctx.mcpReq.inputResponses, 'step2', coloured);
    if (step === 2 && color) return textResult(`${received?.name ?? 'Somebody'} likes ${color.color}`);
    if (step >= 1 && name) {
      const step2 = inputRequired.elicit({
        message: 'Step 2: What is your favorite color?',
        requestedSchema: { type: 'object', properties: { color: { type: 'string' } }, required: ['color'] },
      });
      const requestState = await mint({ tool: rounds, step: 2, name: name.name });
      return inputRequired({ inputRequests: { step2 }, requestState });
    }
    return inputRequired({
      inputRequests: { step1: askName('Step 1: What is your name?') },
      requestState: await mint({ tool: rounds, step: 1 }),
    });
  });

  server.registerTool(
    'test_input_required_result_capabilities',
    { description: 'Asks only what is declared' },
    (ctx) => {
      const envelope: Envelope | undefined = ctx.mcpReq.envelope;
      const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY];
      const inputRequests: InputRequests = {};
      if (declared?.elicitation) inputRequests['user_name'] = askName();
      if (declared?.sampling) inputRequests['greeting'] = askModel('Generate a greeting', 50);
      if (declared?.roots) inputRequests['client_roots'] = inputRequired.listRoots();
      const answered = Object.keys(inputRequests).every(
        (key) => inputResponse(ctx.mcpReq.inputResponses, key).kind !== 'missing',
      );
      if (answered) return textResult(`Answered: ${Object.keys(inputRequests).join(', ') || 'nothing to ask'}`);
      return inputRequired({ inputRequests });
    },
  );
}
