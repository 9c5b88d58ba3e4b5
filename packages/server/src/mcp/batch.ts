// Several messages in one body: what revision 2025-03-26 allows, outside of a session.
import { answerDirect, type DirectAnswer, errorAnswer } from './direct-lane.ts';
import { GateRefusal, type HeaderReader, readInbound } from './gate.ts';
import { RpcError } from './jsonrpc.ts';
import type { CallRequest } from './request.ts';

const maxBatch = 20;
const batchVersion = '2025-03-26';

/** Batches of revision 2025-03-26: each element passes the gate and costs what it costs alone; notifications have no answer. */
export async function answerBatch(
  call: CallRequest,
  elements: readonly unknown[],
  header: HeaderReader,
): Promise<DirectAnswer[]> {
  if (header('mcp-protocol-version') !== batchVersion) {
    throw new GateRefusal(new RpcError(-32600, `Batches need MCP-Protocol-Version: ${batchVersion}`, { status: 400 }));
  }
  if (elements.length > maxBatch)
    throw new GateRefusal(new RpcError(-32600, `At most ${maxBatch} messages per batch`, { status: 400 }));
  const answers: DirectAnswer[] = [];
  for (const element of elements) {
    try {
      const inbound = readInbound(Buffer.from(JSON.stringify(element)), header);
      if (inbound.kind === 'request') answers.push(await answerDirect(call, inbound));
    } catch (error) {
      if (!(error instanceof GateRefusal)) throw error;
      answers.push(errorAnswer(error.id, error.error, call.requestId));
    }
  }
  return answers;
}
