// Makes an otherwise good recording upstream answer one method in another way. For tests of what is made of upstream answers.
import type { RecordedRequest } from './recorded-request.ts';
import type { RecordingUpstreamOptions } from './recording-upstream.ts';

export interface Message {
  id?: number;
  method: string;
  params?: { name?: string };
}
export const messageOf = (request: RecordedRequest): Message => JSON.parse(request.body.toString()) as Message;

export const methodsOf = (upstream: { recorded: readonly RecordedRequest[] }): string[] =>
  upstream.recorded.map((request) => messageOf(request).method);

export const json = { 'content-type': 'application/json' };

/** Answers one method of an otherwise good upstream. */
export const answerOn = (
  method: string,
  make: (id: number | undefined) => { status?: number; headers?: Record<string, string>; body?: unknown },
): Pick<RecordingUpstreamOptions, 'intercept'> => ({
  intercept: (request) => {
    const message = messageOf(request);
    if (message.method !== method) return undefined;
    const { status = 200, headers = {}, body } = make(message.id);
    return { status, headers: { ...json, ...headers }, ...(body !== undefined && { body: JSON.stringify(body) }) };
  },
});
export const rpcError = (id: number | undefined, code: number) => ({
  jsonrpc: '2.0',
  id,
  error: { code, message: 'm' },
});
