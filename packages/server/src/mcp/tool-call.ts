// POST /mcp/tool/call: the seed system's direct tool call. Enters the same pipeline as MCP, with the body's `username` as an assertion
// about the credential, and answers in the `success` envelope.
import { type contract, errorBody, headers as names, type RouteInput } from '@mcp-valet/shared';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { UpstreamFailure } from '../connectors/backend.ts';
import type { Parts } from '../context.ts';
import type { Principal } from '../identity/principal.ts';
import { Refusal } from '../refusal.ts';
import { findAction, getConnector, noCredentials } from './actions.ts';
import { runCall, type Step } from './call.ts';
import { challenge, requiredScopes } from './challenge.ts';
import { RpcError } from './jsonrpc.ts';
import type { CallRequest } from './request.ts';
import { shapeToolResult, withFallback } from './result.ts';
import { timeoutOf, toolStep } from './upstream-step.ts';

export type ToolCallInput = RouteInput<typeof contract.tools.call>;
const keyGrammar = /^[\x21-\x7e]{1,255}$/;

/** Codes of the seed's dialect where they are not the lower-cased code. */
const words: Partial<Record<Refusal['code'], string>> = {
  FORBIDDEN: 'not_allowed',
  UPSTREAM_UNREACHABLE: 'upstream_unreachable',
  REAUTH_REQUIRED: 'credentials_required',
};

export async function callToolDirectly(
  parts: Parts,
  principal: Principal,
  input: ToolCallInput,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  const header = (name: string): string | undefined => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };
  const idempotencyKey = header(names.idempotencyKey);
  if (idempotencyKey !== undefined && !keyGrammar.test(idempotencyKey)) {
    throw new Refusal('INVALID_REQUEST', 'Idempotency-Key must be 1-255 visible ASCII characters');
  }
  const { body } = input;
  const call: CallRequest = {
    parts,
    principal,
    server: null,
    sources: { header: header(names.user), body: body.username },
    strict: true,
    credentialHeader: header(names.credential),
    idempotencyKey,
    requestId: request.id,
    address: request.ip,
    era: 'legacy',
    lane: 'rest',
    header,
    signal: null,
    replyHeaders: {},
    trace: parts.tracing.of(request.raw),
  };
  try {
    const { call: user, answer } = await runCall(call, async (caller): Promise<Step> => {
      const connector = await getConnector(caller, body.serverName);
      const args = body.args ?? {};
      return {
        label: body.methodName,
        target: { connector, action: body.methodName },
        input: { connector: connector.id, name: body.methodName, arguments: args },
        credential: { use: 'choose' },
        isLocalRead: false,
        timeoutMs: timeoutOf(caller, connector),
        async run(upstream, signal) {
          const item = await findAction(caller, connector, body.methodName);
          if (item === null) throw noCredentials(caller, connector);
          return toolStep(caller, { connector, item, arguments: args }, body.methodName, {}).run(
            upstream,
            signal,
            caller,
          );
        },
      };
    });
    if (answer.error instanceof Refusal) throw answer.error;
    // A JSON-RPC error of the tool is the tool's own failure, as `isError` is.
    const result =
      answer.error instanceof RpcError
        ? { content: [{ type: 'text', text: answer.error.message }], isError: true }
        : shapeToolResult(answer.result, 'legacy');
    reply.headers(call.replyHeaders);
    return await reply.code(200).send({ success: true, data: withFallback(result, user.user.fallback) });
  } catch (error) {
    reply.headers(call.replyHeaders);
    const refusal =
      error instanceof UpstreamFailure ? new Refusal('UPSTREAM_UNREACHABLE', 'Upstream unreachable') : error;
    if (!(refusal instanceof Refusal)) throw refusal;
    parts.metrics.refused(refusal);
    const { code, message, details, status, retryAfterMs } = refusal;
    if (code === 'INSUFFICIENT_SCOPE' && principal.proof !== null)
      reply.header(
        'www-authenticate',
        await challenge(parts, undefined, { error: 'insufficient_scope', scopes: requiredScopes(refusal) }),
      );
    if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfterMs / 1000))));
    reply.header(
      names.shouldRetry,
      String(code === 'RATE_LIMITED' || code === 'UNAVAILABLE' || code === 'IDEMPOTENCY_IN_PROGRESS'),
    );
    return reply
      .code(status)
      .send(errorBody('secrets', { code, message, details, requestId: request.id, word: refusal.word ?? words[code] }));
  }
}
