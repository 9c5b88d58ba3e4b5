// The SDK's server with every method answered by our own functions: it frames, routes and cancels; what a method means and who may use it
// is decided where the direct lane decides it. A thrown error reaches the caller only as one of ours.

import { legacyVersions } from '@mcp-valet/shared';
import { Server, type ServerContext, type ServerOptions } from '@modelcontextprotocol/server';
import { runRequest, toRpcError } from './direct-lane.ts';
import { capabilitiesOf, type Params, serverInfoOf } from './methods.ts';
import type { LaneRelay } from './relay.ts';
import type { CallRequest } from './request.ts';
import type { Outcome } from './sdk-response.ts';

/** Answers the request with this id; the SDK's own view of its params is incomplete, so it is not used. */
export type AnswerRequest = (
  message: { id: string | number; method: string },
  ctx: ServerContext,
) => Promise<Record<string, unknown>>;

/** Nothing of a schema is compiled in this lane. */
const noValidator = {
  getValidator: () => (value: unknown) => ({ valid: true as const, data: value as never, errorMessage: undefined }),
};

/** Methods that the SDK would answer by itself. */
const ownAnswers = ['initialize', 'ping', 'server/discover', 'logging/setLevel'];

export const keepAliveMs = 15_000;

export class LaneServer extends Server {
  readonly #sdkAnswers: ReadonlySet<string>;

  constructor(
    request: CallRequest,
    answer: AnswerRequest,
    options: { instructions?: string | undefined; sdkAnswers?: readonly string[] } = {},
  ) {
    const capabilities = capabilitiesOf(request, { hasStream: true }) as NonNullable<ServerOptions['capabilities']>;
    super(serverInfoOf(request), {
      capabilities,
      ...(options.instructions !== undefined && { instructions: options.instructions }),
      jsonSchemaValidator: noValidator,
      supportedProtocolVersions: [...legacyVersions].reverse(),
    });
    this.#sdkAnswers = new Set(options.sdkAnswers);
    this.fallbackRequestHandler = async (message, ctx) => answer(message, ctx);
    // What goes wrong out of band is a caller that is gone, or nonsense from one.
    this.onerror = (error) =>
      request.parts.log.debug({ requestId: request.requestId, name: error.name }, 'mcp_sdk_server_note');
  }

  override async connect(transport: Parameters<Server['connect']>[0]): Promise<void> {
    for (const method of ownAnswers) if (!this.#sdkAnswers.has(method)) this.removeRequestHandler(method);
    await super.connect(transport);
  }
}

/** Runs a method as the direct lane does. What it refuses with is kept for the HTTP status and thrown as the SDK wants it. */
export async function runInLane(
  request: CallRequest,
  method: string,
  params: Params,
  lane: LaneRelay,
  outcome: Outcome,
  run: typeof runRequest = runRequest,
): Promise<Record<string, unknown>> {
  try {
    return await run(request, method, params, lane);
  } catch (error) {
    const failure = toRpcError(error, request);
    outcome.failure = failure;
    throw Object.assign(new Error(failure.message), {
      code: failure.code,
      data: { requestId: request.requestId, ...failure.data },
    });
  }
}
